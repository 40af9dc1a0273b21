import torch, time, numpy as np
from utils.models import load_language_model, tokenize
from utils.datasets import load_statements
from utils.metrics import auroc
torch.set_num_threads(1)
m = load_language_model(); tok = m.tokenizer
f = load_statements("cities").sample(80, random_state=1)
y = f.label.to_numpy()
shots = [("The city of Tokyo is in Japan.",1),("The city of Hanoi is in Poland.",0),("The city of Rome is in Canada.",0),("The city of Chicago is in the United States.",1)]
def ids_for(words): return [tok(w, add_special_tokens=False)["input_ids"][0] for w in words]
def run(name, make, tw, fw):
    t=time.time(); T,F = ids_for(tw), ids_for(fw); out=[]
    for s in f.statement:
        x = make(s); ids = torch.tensor(x if isinstance(x,list) else tokenize(m,[x])[0])[None]
        with torch.no_grad(): l = m(ids)[0,-1]
        out.append((l[T].logsumexp(0)-l[F].logsumexp(0)).item())
    out=np.array(out); print(f"{name:30s} auroc {auroc(out,y):.3f} acc {((out>0)==y).mean():.3f} acc@median {((out>np.median(out))==y).mean():.3f}  mean T {out[y].mean():.2f} F {out[~y].mean():.2f} {time.time()-t:.0f}s",flush=True)
pre = "".join(f"{s} This statement is: {'TRUE' if l else 'FALSE'}\n" for s,l in shots)
run("MT few-shot TRUE/FALSE", lambda s: pre+f"{s} This statement is:", [" TRUE"," True"," true"],[" FALSE"," False"," false"])
pre2 = "".join(f"Statement: {s}\nTrue or false? {'True' if l else 'False'}\n\n" for s,l in shots)
run("few-shot True/False", lambda s: pre2+f"Statement: {s}\nTrue or false?", [" True"," true"],[" False"," false"])
pre3 = "".join(f"Question: Is it right that {s[0].lower()+s[1:-1]}?\nAnswer: {'Yes' if l else 'No'}\n\n" for s,l in shots)
run("few-shot Yes/No", lambda s: pre3+f"Question: Is it right that {s[0].lower()+s[1:-1]}?\nAnswer:", [" Yes"," yes"],[" No"," no"])
run("chat T/F", lambda s: tokenize(m,[[{"role":"user","content":f"Is the following true or false? {s}"}]],chat=True)[0], ["True"],["False"])
run("zero: This statement is", lambda s: f"{s} This statement is", [" true"," correct"],[" false"," incorrect"])
run("plain Q", lambda s: f"Q: True or false? {s}\nA:", [" True"," true"],[" False"," false"])
