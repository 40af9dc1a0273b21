"""asm.py N: head+body (drafts) with exercises (from drafts/ch3_truth_and_deception) -> solutions"""
import re,sys,glob
n=sys.argv[1]
ex_file=glob.glob(f'drafts/ex/part{n}_*.py')[0]
body_file=f'drafts/body/part{n}.py'
parts=re.split(r'(?m)^# %% \[markdown\]\n# ## Exercise · ',open(ex_file).read())
ex={p.split('`')[1]:'# %% [markdown]\n# ## Exercise · '+p.rstrip()+'\n\n' for p in parts[1:]}
new=open(body_file).read()
for name,text in ex.items():
    assert f'# @@{name}\n' in new,name
    new=new.replace(f'# @@{name}\n',text)
open('solutions/ch3_truth_and_deception/'+ex_file.split('/')[-1],'w').write(new)
