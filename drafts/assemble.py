"""python drafts/assemble.py N: the body of part N with its exercises, as a lesson's source in solutions/."""

import re
import sys
from pathlib import Path

here = Path(__file__).parent
number = sys.argv[1]
(body,) = here.glob(f"part{number}_*_body.py")
sections = re.split(r"(?m)^# %% \[markdown\]\n# ## Exercise · ", (here / f"part{number}_exercises.py").read_text())
text = body.read_text()
for section in sections[1:]:
    name = section.split("`")[1]
    text = text.replace(f"# @@{name}\n", f"# %% [markdown]\n# ## Exercise · {section.rstrip()}\n\n")
target = Path("solutions/ch3_truth_and_deception") / body.name.replace("_body", "")
target.write_text(text)
print(target)
