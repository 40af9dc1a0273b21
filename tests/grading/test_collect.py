"""Whoever packed the submissions, and however: each student's files are found, and nothing lands elsewhere."""

import io
import json
import os
import struct
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from classroom import LIGHT, notebook, zipped

from utils.course.errors import CourseError
from utils.course.grading.intake import archives, student_files
from utils.course.grading.intake.collect import collect
from utils.course.grading.intake.roster import read_roster

PART = LIGHT.split("/")[1]
WORK = notebook("def auroc(scores, labels):\n    return 1.0")
GRADESCOPE = """---
submission_123:
  :submitters:
  - :name: Ada Lovelace
    :sid: '1815'
    :email: ada@uni.edu
  - :name: Bob B
    :sid:
    :email: bob@uni.edu
  :created_at: 2030-01-02 20:18:21.000000000 Z
  :status: !ruby/object:Status
    value: processed
submission_124:
  :submitters:
  - :name: Carl C
    :sid: '7'
    :email: carl@uni.edu
  :created_at: 2030-01-01 10:00:00.000000000 Z
"""


def tree(folder: Path, files: dict) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def collected(source: Path, grades: Path, slugs=(LIGHT,), roster=None) -> dict:
    collection = collect(source, grades, slugs, roster)
    index = json.loads((grades / "collected.json").read_text())
    assert [each["student"] for each in index["students"]] == [each.student for each in collection.students]
    kept = {path.name for path in (grades / "collected").glob("*")}
    for each in collection.students:
        for file in each.files:
            assert (grades / file.path).is_file()
            assert file.path.split("/")[1] in kept
    return {each.student: each for each in collection.students}


def names(collected: dict) -> dict:
    return {student: [file.name for file in each.files] for student, each in collected.items()}


def both_ways(tmp_path: Path, files: dict) -> list[Path]:
    """The same files as a folder and as a zip with one folder more around them."""
    (tmp_path / "download.zip").write_bytes(
        zipped({f"download/{name}": text for name, text in files.items()})
    )
    return [tree(tmp_path / "download", files), tmp_path / "download.zip"]


def test_a_folder_of_notebooks(tmp_path):
    files = {
        "ada.ipynb": WORK,
        f"bob_{PART}.py": "",
        f"{PART}-carl (1).ipynb": WORK,
        "Part3 Doubt-your-probe dora.ipynb": WORK,
        f"{PART}.ipynb": WORK,
        "notes.txt": "",
        ".hidden.ipynb": WORK,
    }
    source = tree(tmp_path / "class", files)
    assert names(collected(source, tmp_path / "grades")).keys() == {"ada", "bob", "carl (1)", "dora", "class"}
    assert collect(source, tmp_path / "grades", [LIGHT]).ignored == ("notes.txt",)


def test_a_folder_of_folders(tmp_path):
    files = {
        f"ada/chapters/ch1/{PART}.ipynb": WORK,
        "ada/.ipynb_checkpoints/x.ipynb": WORK,
        "ada/utils/probes.py": "",
        "ada/venv/lib/x.py": "",
        "bob/mine.py": "",
        "carl/report.docx": "",
        "dora/__MACOSX/._x.ipynb": "",
    }
    for source in both_ways(tmp_path, files):
        found = collected(source, tmp_path / "grades")
        assert names(found)["ada"] == [f"chapters/ch1/{PART}.ipynb"]
        assert names(found)["bob"] == ["mine.py"]
        assert found["carl"].problems == ("no notebook, .py file or zip (found: report.docx)",)
    (tmp_path / "download" / "eve").mkdir()
    assert collected(tmp_path / "download", tmp_path / "grades")["eve"].problems


def test_zips_of_students(tmp_path):
    source = tree(
        tmp_path / "class",
        {
            "ada.zip": zipped({f"hw/chapters/{PART}.ipynb": WORK, "hw/utils/x.py": ""}),
            "bob/work.zip": zipped({"a.py": "", "inner.zip": zipped({"b.py": ""})}),
            "carl.zip": b"PK\x03\x04 and then nothing",
        },
    )
    found = collected(source, tmp_path / "grades")
    assert names(found) == {
        "ada": [f"ada.zip/hw/chapters/{PART}.ipynb"],
        "bob": ["work.zip/a.py"],
        "carl": [],
    }
    assert "a zip inside a zip" in found["bob"].problems[0]
    assert "damaged" in found["carl"].problems[0]


def test_one_students_own_zip(tmp_path):
    """A single folder in a zip is a student's where it holds work, not students."""
    (tmp_path / "ada.zip").write_bytes(zipped({"mine/chapters/ch1_x/a.ipynb": WORK}))
    assert names(collected(tmp_path / "ada.zip", tmp_path / "grades")).keys() == {"mine"}
    (tmp_path / "one.ipynb").write_text(WORK)
    assert names(collected(tmp_path / "one.ipynb", tmp_path / "grades")) == {"one": ["one.ipynb"]}


def test_canvas(tmp_path):
    files = {
        f"lovelaceada_12_678_{PART}.ipynb": WORK,
        f"lovelaceada_12_679_{PART}-1.ipynb": WORK + " ",
        f"bsonbob_LATE_13_680_{PART}.ipynb": WORK,
        "carlc_late_14_681_all.zip": zipped({f"{PART}.ipynb": WORK}),
        "dorad_15_682_essay.docx": "",
    }
    for source in both_ways(tmp_path, files):
        found = collected(source, tmp_path / "grades")
        assert found.keys() == {"lovelaceada_12", "bsonbob_13", "carlc_14", "dorad_15"}
        assert [each.late for _, each in sorted(found.items())] == [True, True, False, False]
        # Later uploads come last, whatever their names.
        assert names(found)["lovelaceada_12"][-1] == f"{PART}-1.ipynb"
        assert "essay.docx" in found["dorad_15"].problems[0]
        # Canvas knows better than the files' times.
        assert not found["lovelaceada_12"].is_late(datetime(1999, 1, 1, tzinfo=UTC))


def test_moodle(tmp_path):
    files = {
        f"Ada Lovelace_123_assignsubmission_file_/{PART}.ipynb": WORK,
        f"Bob B_124_assignsubmission_file_{PART}.ipynb": WORK,
        "Carl_125_assignsubmission_file/deep/x.py": "",
        "Dora_126_assignsubmission_onlinetext_/onlinetext.html": "",
    }
    for source in both_ways(tmp_path, files):
        found = collected(source, tmp_path / "grades")
        assert found.keys() == {"Ada Lovelace_123", "Bob B_124", "Carl_125", "Dora_126"}
        assert names(found)["Bob B_124"] == [f"{PART}.ipynb"]
        assert found["Dora_126"].problems


def test_gradescope(tmp_path):
    files = {
        "submission_metadata.yml": GRADESCOPE,
        f"submission_123/{PART}.ipynb": WORK,
        "submission_124/x.py": "",
    }
    for source in both_ways(tmp_path, files):
        found = collected(source, tmp_path / "grades")
        # A group's work is everybody's in it; a student's id is the number, otherwise the address.
        assert names(found) == {"1815": [f"{PART}.ipynb"], "bob@uni.edu": [f"{PART}.ipynb"], "7": ["x.py"]}
        due = datetime(2030, 1, 2, 12, tzinfo=UTC)
        assert found["1815"].is_late(due)
        assert not found["7"].is_late(due)
    wrapped = tree(tmp_path / "outer" / "assignment_9_export", files).parent
    assert collected(wrapped, tmp_path / "grades").keys() == {"1815", "bob@uni.edu", "7"}
    (tmp_path / "download" / "submission_metadata.yml").write_text("a: [")
    with pytest.raises(CourseError, match=r"submission_metadata\.yml"):
        collected(tmp_path / "download", tmp_path / "grades")


def test_the_class_list_names_students(tmp_path):
    (tmp_path / "roster.csv").write_text(
        "name;student;canvas;email\nLovelace, Ada;s1;12;ada@uni.edu\nBob B;s2;;bob@uni.edu\nSolo;s3;;\n"
    )
    roster = read_roster(tmp_path / "roster.csv")
    assert list(roster.students) == ["s1", "s2", "s3"]
    files = {
        f"lovelaceada_12_678_{PART}.ipynb": WORK,
        "bob@uni.edu/x.py": "",
        "s3.py": "",
        "mallory.py": "",
    }
    found = collected(tree(tmp_path / "class", files), tmp_path / "grades", roster=roster)
    assert found.keys() == {"s1", "s2", "s3", "mallory"}
    assert found["mallory"].flags == ("not in the class list",)
    assert not found["s1"].flags


@pytest.mark.parametrize("text", ["", "student\n", "student,name\na,x\na,y\n"])
def test_a_bad_class_list_is_one_line(tmp_path, text):
    (tmp_path / "roster.csv").write_text(text)
    with pytest.raises(CourseError, match=r"roster\.csv"):
        read_roster(tmp_path / "roster.csv")


def test_names_in_three_columns(tmp_path):
    (tmp_path / "roster.csv").write_text("ID,First Name,Surname\n1,Ada,Lovelace\n2,Ada,Byron\n")
    files = {"lovelaceada_99_1_x.py": "", "Byron Ada_7_assignsubmission_file_/y.py": ""}
    found = collected(
        tree(tmp_path / "class", files), tmp_path / "g", roster=read_roster(tmp_path / "roster.csv")
    )
    assert names(found) == {"1": ["x.py"], "2": ["y.py"]}


def test_identity_is_the_path(tmp_path):
    files = {
        "ada/work.ipynb": notebook("x = 1", markdown="# Work\n\n**Name:** bob\n\nStudent ID: ada"),
        "bob/work.ipynb": notebook("AUTHOR = 'Ada'\nname = 'test'"),
        f"carl/ada_{PART}.ipynb": WORK,
        "dora/work.ipynb": notebook("x = 2", authors=[{"name": "Carl"}]),
        "eve/work.py": "# Author: Eve\nNAME = 'nobody here'\n",
    }
    found = collected(tree(tmp_path / "class", files), tmp_path / "grades")
    assert found.keys() == {"ada", "bob", "carl", "dora", "eve"}
    for student, says in {"ada": "'bob'", "bob": "'Ada'", "carl": "'ada'", "dora": "'Carl'"}.items():
        assert len(found[student].flags) == 1, found[student].flags
        assert says in found[student].flags[0]
    assert not found["eve"].flags


def test_late_by_the_files_time(tmp_path):
    source = tree(tmp_path / "class", {"ada.py": "", "bob.py": ""})
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    for name, hours in {"ada": -1, "bob": 1}.items():
        stamp = (noon + timedelta(hours=hours)).timestamp()
        os.utime(source / f"{name}.py", (stamp, stamp))
    found = collected(source, tmp_path / "grades")
    assert [found[name].is_late(noon) for name in ("ada", "bob")] == [False, True]
    assert not found["bob"].is_late(None)


def test_the_key_follows_the_content(tmp_path):
    source = tree(tmp_path / "class", {"ada.py": "x = 1"})
    first = collected(source, tmp_path / "grades")["ada"].key
    os.utime(source / "ada.py", (0, 0))
    assert collected(source, tmp_path / "grades")["ada"].key == first
    (source / "ada.py").write_text("x = 2")
    assert collected(source, tmp_path / "grades")["ada"].key != first


def test_grades_among_the_submissions(tmp_path):
    source = tree(tmp_path / "class", {"ada.py": "", "grades/results/bob.json": "{}", "grades/x.py": ""})
    assert collected(source, source / "grades").keys() == {"ada"}


def test_result_files_in_a_submission_are_nobodys(tmp_path):
    """B12: what looks like the grader's own files is left where it is."""
    files = {
        "ada/results/ada.json": '{"score": 100}',
        "ada/grades.json": "{}",
        "ada/overrides.csv": "student,exercise,points,reason\nada,auroc,100,because\n",
        "ada/collected.json": "{}",
        "ada/work.py": "",
        "overrides.csv": "student,exercise,points,reason\nada,auroc,100,because\n",
    }
    found = collected(tree(tmp_path / "class", files), tmp_path / "grades")
    assert names(found) == {"ada": ["work.py"]}
    assert {path.name for path in (tmp_path / "grades").iterdir()} == {"collected", "collected.json"}


@pytest.mark.parametrize(
    "name", ["../../out.py", "/abs.py", "..\\..\\out.py", "C:\\out.py", "a/../../../out.py"]
)
def test_zip_slip(tmp_path, name):
    """C03: a member's name is never a path, and one that points outside is left out."""
    source = tree(tmp_path / "deep" / "class", {"ada.zip": zipped({name: "x = 1", "work.py": ""})})
    found = collected(source, tmp_path / "deep" / "grades")
    assert names(found) == {"ada": ["ada.zip/work.py"]}
    assert "points outside" in found["ada"].problems[0]
    (tmp_path / "all.zip").write_bytes(zipped({name: "x = 1", "ada/work.py": ""}))
    assert "ada" in collected(tmp_path / "all.zip", tmp_path / "deep" / "grades")
    written = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert written == {"deep", "all.zip"}
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"class", "grades"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_links_and_pipes(tmp_path):
    """C04: only regular files; a pipe must not hold the collection up."""
    (tmp_path / "secret.py").write_text("SECRET = 1")
    source = tree(tmp_path / "class", {"ada/work.py": ""})
    (source / "ada" / "link.py").symlink_to(tmp_path / "secret.py")
    (source / "ada" / "loop").symlink_to(source)
    os.mkfifo(source / "ada" / "pipe.py")
    os.mkfifo(source / "bob.py")
    (source / "carl.py").symlink_to(tmp_path / "secret.py")
    (source / "dora").symlink_to(source / "ada")
    found = collected(source, tmp_path / "grades")
    assert names(found) == {"ada": ["work.py"], "bob": [], "carl": []}
    assert len(found["ada"].problems) == 3
    link = zipped({"link.py": str(tmp_path / "secret.py")}, mode=0o120777)
    tree(tmp_path / "class", {"eve.zip": link})
    assert "a link" in collected(source, tmp_path / "grades")["eve"].problems[0]


def test_bombs(tmp_path):
    """C05: what unpacks to more than anybody hands in costs a problem, not memory."""
    bomb = zipped({"bomb.py": b"\0" * (archives.FILE_BYTES + 1), "work.py": ""})
    assert len(bomb) < 1 << 17
    source = tree(tmp_path / "class", {"ada.zip": bomb, "bob.py": b" " * (archives.FILE_BYTES + 1)})
    found = collected(source, tmp_path / "grades")
    assert names(found) == {"ada": ["ada.zip/work.py"], "bob": []}
    assert all("larger than 20 MB" in found[student].problems[0] for student in ("ada", "bob"))


def test_a_hundred_thousand_members(tmp_path, monkeypatch):
    """C05: refused by the size of the zip's directory, before an object is made of each entry."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(100_000):
            archive.writestr(zipfile.ZipInfo(f"{number:06}" + "x" * 200), b"")
    monkeypatch.setattr(archives.zipfile, "ZipFile", None)
    with pytest.raises(archives.Unreadable, match="too many files"):
        list(archives.zip_members(io.BytesIO(buffer.getvalue())))
    # Its end says so three times: this zip has more than 65,535 files. Take the end away, and it is no zip.
    monkeypatch.undo()
    with pytest.raises(archives.Unreadable, match="damaged"):
        list(archives.zip_members(io.BytesIO(buffer.getvalue()[:-22])))


def test_a_zip_that_looks_two_ways():
    """An end of directory hidden in another one's fields must not hide how much there is."""
    many = zipped({f"{number}.py": "" for number in range(20)})
    assert len(list(archives.zip_members(io.BytesIO(many), members=20))) == 20
    size = struct.unpack_from("<L", many, len(many) - 10)[0]
    assert archives._directory_bytes(io.BytesIO(many + b"PK\x05\x06" + b"\0" * 18)) == size
    with pytest.raises(archives.Unreadable, match="too many"):
        list(archives.zip_members(io.BytesIO(many), members=4))


def test_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(student_files, "FILES", 3)
    source = tree(tmp_path / "class", {f"ada/{number}.py": "" for number in range(9)})
    found = collected(source, tmp_path / "grades")["ada"]
    assert len(found.files) == 3
    assert "too many files" in found.problems[0]
    monkeypatch.setattr(archives, "MEMBERS", 4)
    assert any("more than 4" in problem for problem in collected(source, tmp_path / "grades")["ada"].problems)


@pytest.mark.parametrize(
    "name", ["=HYPERLINK(1).py", "<script>.py", "a\x1b[31mb.py", "x" * 200 + ".py", "e\u0301.py"]
)
def test_odd_names(tmp_path, name):
    found = collected(tree(tmp_path / "class", {name: ""}), tmp_path / "grades")
    (student,) = found
    assert student.isprintable()
    assert len(student) <= 120
    assert len(found[student].files) == 1


def test_nothing_there(tmp_path):
    with pytest.raises(CourseError, match="does not exist"):
        collect(tmp_path / "nowhere", tmp_path / "grades", [LIGHT])
    (tmp_path / "all.zip").write_bytes(b"no zip")
    with pytest.raises(CourseError, match="damaged"):
        collect(tmp_path / "all.zip", tmp_path / "grades", [LIGHT])
