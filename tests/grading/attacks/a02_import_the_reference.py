"""A02: import, or execute, the reference solution or the checks."""

import importlib
import importlib.util
import sys

PLACES = ("", ".", "..", "/course", "/work", "/tmp", "/autograder", "/autograder/source")
FILES = (
    "solutions/ch1_probing_basics/part2_fit_probes.py",
    "tests/ch1_probing_basics/test_part2_fit_probes.py",
    "tests/ch1_probing_basics/mistakes_part2_fit_probes.py",
)


def difference_of_means(acts, labels):
    from utils.course.lessons import Lesson

    lesson = Lesson("ch1_probing_basics/part2_fit_probes")
    found = list(lesson.reference_namespace())
    for place in PLACES:
        for file in FILES:
            spec = importlib.util.spec_from_file_location("reference", f"{place}/{file}".lstrip("/"))
            try:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                found.append(file)
            except (OSError, AttributeError):
                continue
    for name in ("solutions", "tests", "tests.ch1_probing_basics", "part2_fit_probes"):
        try:
            importlib.import_module(name)
            found.append(name)
        except ImportError:
            continue
    if "difference_of_means" in found:
        return lesson.reference_namespace()["difference_of_means"](acts, labels)
    raise ValueError(f"found {found}; {len(sys.modules)} modules")
