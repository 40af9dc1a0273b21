"""One source gives two notebooks, and a changed source is noticed."""

import nbformat
import pytest

from utils.course import notebooks
from utils.course.lessons import Lesson, LessonError
from utils.course.submissions import read_submission

SOURCE = '''# %% [markdown]
# # A lesson

# %%
VALUE = 2


# %%
def double(x: float) -> float:
    """Twice x."""
    ### BEGIN SOLUTION
    return VALUE * x
    ### END SOLUTION


check = print
check(double)


# %%
class Box:
    """Holds."""

    def put(self, x):
        """Put it in."""
        ### BEGIN SOLUTION
        self.x = x
        return self
        ### END SOLUTION

    def take(self):
        ### BEGIN SOLUTION
        return self.x
        ### END SOLUTION


# %%
print(double(21))
'''


@pytest.fixture
def lesson(tmp_path):
    lesson = Lesson("ch9_trial/part1_trial", tmp_path)
    lesson.source.parent.mkdir(parents=True)
    lesson.source.write_text(SOURCE)
    return lesson


def test_stubs_name_what_to_write(lesson):
    cells = notebooks.exercise_notebook(lesson).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert 'raise NotImplementedError("double is yours to write")' in text
    assert text.count('raise NotImplementedError("Box is yours to write")') == 2
    assert "return VALUE" not in text
    assert "SOLUTION" not in text


def test_solution_is_folded_below(lesson):
    cells = notebooks.exercise_notebook(lesson).cells
    at = next(i for i, cell in enumerate(cells) if "double is yours" in cell.source)
    assert cells[at + 1].source.startswith("<details><summary>Solution</summary>")
    assert "return VALUE * x" in cells[at + 1].source


def test_generation_is_deterministic_and_valid(lesson):
    first, second = notebooks.exercise_notebook(lesson), notebooks.exercise_notebook(lesson)
    assert nbformat.writes(first) == nbformat.writes(second)
    nbformat.validate(first)
    assert len({cell.id for cell in first.cells}) == len(first.cells)


@pytest.mark.slow
def test_build_then_change(lesson):
    assert len(notebooks.problems(lesson)) == 2
    run = notebooks.build(lesson)
    assert run is not None
    assert run.notebook.cells[-1].outputs[0].text == "42\n"
    assert notebooks.problems(lesson) == []
    assert notebooks.build(lesson) is None
    stubs = read_submission(lesson.exercise_notebook).namespace()
    with pytest.raises(NotImplementedError):
        stubs["double"](1.0)
    lesson.source.write_text(SOURCE.replace("21", "22"))
    assert "another version of its source" in notebooks.problems(lesson)[1]


@pytest.mark.slow
def test_changed_prose_keeps_the_outputs(lesson, monkeypatch):
    notebooks.build(lesson)
    monkeypatch.setattr(notebooks, "execute", None)
    lesson.source.write_text(SOURCE.replace("# # A lesson", "# # Another lesson"))
    assert notebooks.build(lesson) is None
    assert notebooks.problems(lesson) == []
    built = nbformat.read(lesson.solution_notebook, as_version=4)
    assert "Another" in "".join(cell.source for cell in built.cells)
    assert built.cells[-1].outputs[0].text == "42\n"


@pytest.mark.slow
def test_edited_by_hand(lesson):
    notebooks.build(lesson)
    built = nbformat.read(lesson.solution_notebook, as_version=4)
    built.cells[0].source += " edited"
    nbformat.write(built, lesson.solution_notebook)
    assert "edited by hand" in notebooks.problems(lesson)[0]


def test_work_in_an_exercise_notebook_is_not_overwritten(lesson, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "_stale", lambda lesson: None)
    notebooks.build(lesson)
    notebooks.build(lesson)
    assert len(list(lesson.exercise_notebook.parent.iterdir())) == 1
    worked_in = nbformat.read(lesson.exercise_notebook, as_version=4)
    worked_in.cells[2].source = "def double(x):\n    return x + x"
    nbformat.write(worked_in, lesson.exercise_notebook)
    lesson.source.write_text(SOURCE.replace("21", "22"))
    notebooks.build(lesson)
    (kept,) = lesson.exercise_notebook.parent.glob("*.edited-*.ipynb")
    assert "return x + x" in kept.read_text()
    assert str(kept) in capsys.readouterr().err
    assert "return x + x" not in lesson.exercise_notebook.read_text()


def test_marker_without_end(lesson):
    lesson.source.write_text(SOURCE.replace("### END SOLUTION", "", 1).replace("### END SOLUTION", ""))
    with pytest.raises(LessonError, match="without"):
        notebooks.exercise_notebook(lesson)


def test_long_cells_are_found(lesson):
    lesson.source.write_text(SOURCE + "\n# %%\n" + "x = 1\n" * 26)
    assert list(notebooks.cells_too_long(lesson)) == ["26 lines: x = 1"]


def test_no_source(tmp_path):
    with pytest.raises(LessonError, match="no source"):
        notebooks.exercise_notebook(Lesson("ch9_trial/part1_trial", tmp_path))


@pytest.mark.slow
def test_progress_bars_are_not_kept(lesson):
    source = "# %%\nfrom tqdm.auto import tqdm\nfor _ in tqdm(range(3)):\n    pass\nprint('done')\n"
    lesson.source.write_text(source)
    run = notebooks.execute(lesson)
    assert [output["text"] for output in run.notebook.cells[0].outputs] == ["done\n"]
    assert "widgets" not in run.notebook.metadata
