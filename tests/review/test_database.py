"""The same review on SQLite and on PostgreSQL."""

import logging
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.errors import UsageError
from garmentcut.review.database import Database

_READY = "database system is ready to accept connections"
_DEBIAN = Path("/usr/lib/postgresql")  # not on PATH: Debian keeps several versions side by side


def _program(name: str) -> str | None:
    """Where one of PostgreSQL's own programs is."""
    of_debian = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3].split(".")[0]))
    return shutil.which(name) or (str(of_debian[-1]) if of_debian else None)


def _as_another_user() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid():
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL does not run as root, and there is no setpriv to become another user")
    nobody = pwd.getpwnam("nobody")
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


@pytest.fixture(scope="module")
def postgres():
    """Address of a PostgreSQL server of its own, thrown away after."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    user = _as_another_user()
    with tempfile.TemporaryDirectory(prefix="garmentcut-postgres-") as folder:
        if user:
            shutil.chown(folder, "nobody")
        command = [*user, initdb, "-D", f"{folder}/data", "-U", "retoucher", "--auth=trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", env={**os.environ, "LC_ALL": "C.UTF-8"})
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        options = ["-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        options += ["-c", f"unix_socket_directories={folder}", "-c", "max_connections=60"]
        server = subprocess.Popen(
            [*user, postgres, "-D", f"{folder}/data", *options], cwd="/", stderr=subprocess.PIPE, text=True
        )
        try:
            said = ""
            for line in server.stderr:
                said += line
                if _READY in line:
                    break
            else:
                pytest.fail(said)
            yield f"postgresql://retoucher@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait()
            server.stderr.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """What `--database` is given: nothing, or a PostgreSQL address whose tables are dropped after."""
    if request.param == "sqlite":
        yield None
        return
    url = request.getfixturevalue("postgres")
    yield url
    engine = create_engine(url.replace("postgresql", "postgresql+pg8000"))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    engine.dispose()


def decide(client, photo_id, version, action, who=""):
    body = {"version": version, "action": action, "seconds": 1}
    return client.post(f"/api/photos/{photo_id}/decision", json=body, headers={"x-garmentcut-person": who})


def test_fifty_people_at_once_on_their_own_photos_lose_nothing(cut_batch, open_review, database):
    client = open_review(cut_batch([f"g{number:02}_Front" for number in range(50)]), database=database)
    items = client.get("/api/photos").json()["items"]
    kinds = ["accept", "reject"] * 25
    with ThreadPoolExecutor(50) as people:
        answers = list(
            people.map(
                lambda job: decide(client, job[0]["id"], 1, job[1], f"p{job[0]['id']}"), zip(items, kinds, strict=True)
            )
        )
    assert {answer.status_code for answer in answers} == {200}
    after = client.get("/api/photos", params={"sort": "name"}).json()
    assert after["counts"]["accepted"] == 25 and after["counts"]["rejected"] == 25
    assert [item["changed_by"] for item in after["items"]] == [f"p{item['id']}" for item in after["items"]]
    changes = client.get("/api/changes", params={"since": 50}).json()["items"]
    assert sorted(item["id"] for item in changes) == sorted(item["id"] for item in items)


def test_of_twenty_people_at_once_on_one_photo_exactly_one_wins(cut_batch, open_review, database):
    client = open_review(cut_batch(["a_Front"]), database=database)
    photo_id = client.get("/api/photos").json()["items"][0]["id"]
    with ThreadPoolExecutor(20) as people:
        answers = list(
            people.map(lambda n: decide(client, photo_id, 1, "accept" if n % 2 else "reject", f"p{n}"), range(20))
        )
    won = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert len(won) == 1 and sum(answer.status_code == 409 for answer in answers) == 19
    item = client.get("/api/photos").json()["items"][0]
    assert (item["version"], item["changed_by"], item["seconds"]) == (2, f"p{won[0]}", 1)
    assert len(client.get(f"/api/photos/{photo_id}/actions").json()["actions"]) == 1
    assert all(f"by p{won[0]} at" in answer.json()["error"] for answer in answers if answer.status_code == 409)


def test_a_new_server_finds_everything_as_it_was(cut_batch, open_review, database, png, gray):
    folder = cut_batch()
    client = open_review(folder, database=database)
    item = client.get("/api/photos").json()["items"][0]
    alpha = gray(client.get(item["urls"]["alpha"]).content).copy()
    alpha[:40] = 200
    client.put(f"/api/photos/{item['id']}/alpha?version=1&seconds=2.25", content=png(alpha))
    before = client.get("/api/photos").json()
    again = open_review(folder, database=database)
    assert {**again.get("/api/photos").json(), "running": None} == {**before, "running": None}


def test_two_servers_on_one_batch_do_not_overwrite_each_other(cut_batch, open_review, database):
    folder = cut_batch(["a_Front"])
    one, other = (open_review(folder, database=database) for _ in range(2))
    photo_id = one.get("/api/photos").json()["items"][0]["id"]
    assert decide(one, photo_id, 1, "accept", "Anna").status_code == 200
    late = decide(other, photo_id, 1, "reject", "Ben")
    assert late.status_code == 409 and "by Anna" in late.json()["error"]


def test_one_database_holds_several_batches(cut_batch, open_review, postgres, tmp_path):
    shutil.move(cut_batch(["a_Front"]), tmp_path / "first")
    first = open_review(tmp_path / "first", database=postgres)
    second = open_review(cut_batch(["a_Front", "b_Front"]), database=postgres)
    assert [client.get("/api/photos").json()["total"] for client in (first, second)] == [1, 2]
    foreign = first.get("/api/photos").json()["items"][0]["id"]
    assert second.get(f"/api/photos/{foreign}").status_code == 404


def test_tables_of_another_version_are_refused(tmp_path):
    path = tmp_path / "review.sqlite"
    Database(path).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE garmentcut_review SET version = 99"))
    engine.dispose()
    with pytest.raises(UsageError, match=r"another version of garmentcut \(99\)"):
        Database(path)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://x/y", "not a supported database"),
        ("postgresql://me:secret@127.0.0.1:1/x", "postgresql"),
        ("postgresql://:::/", "not the address of a database"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(url, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path):
    path = Path(tmp_path / "review.sqlite")
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(
        UsageError, match=r"not a database; move it away and start again: what people decided is in files"
    ):
        Database(path)


def overwrite(path, start, stop, content=b"\xa5"):
    data = bytearray(path.read_bytes())
    data[start:stop] = content * len(data[start:stop])
    path.write_bytes(data)


def without_a_column(path):
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE photos RENAME COLUMN seconds TO minutes")
    connection.close()


def with_a_wrong_date(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE photos SET changed_at = 'yesterday'")
    connection.close()


def with_a_damaged_row(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE photos SET row = '[]' WHERE id = 1")
    connection.close()


DAMAGE = {
    "header": lambda path: overwrite(path, 0, 100),
    "pages": lambda path: overwrite(path, 4096, None),
    "one page": lambda path: overwrite(path, 4 * 4096, 5 * 4096),
    "zeros": lambda path: overwrite(path, 4096, None, b"\0"),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: 3 * 4096 + 100]),
    "column": without_a_column,
    "date": with_a_wrong_date,
    "row": with_a_damaged_row,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_database_is_named_and_nothing_is_lost(review, open_review, damage):
    """Before, a page damaged in the middle was a traceback, and the command ended with 0."""
    folder, path = review.service.folder, review.service.folder / "review.sqlite"
    decide(review, 1, 1, "accept", "Ida")
    review.service.close()
    DAMAGE[damage](path)
    damaged = path.read_bytes()
    others = logging.StreamHandler()  # absl's, which OpenVINO loads, also closes its stream: that of pytest's capture
    others.close = Mock()
    result = CliRunner().invoke(app, ["review", str(folder), "--port", "0", "--no-open"])
    assert result.exit_code == 2, result.output
    others.close.assert_not_called()
    assert result.stderr.count("\n") == 1 and f"{path}: " in result.stderr.replace("sqlite:///", "")
    assert "move it away and start again" in result.stderr
    assert path.read_bytes() == damaged or damage in ("column", "date", "row")
    for file in folder.glob("review.sqlite*"):
        file.rename(folder.parent / file.name)
    again = open_review(folder).get("/api/photos").json()["items"]
    assert [item["changed_by"] for item in again if item["state"] == "accepted"] == ["Ida"]


def test_a_database_damaged_under_the_server_is_told_with_what_to_do(review):
    path = review.service.folder / "review.sqlite"
    decide(review, 1, 1, "accept")
    review.service.database.close()
    overwrite(path, 4096, None)
    answer = review.get("/api/photos")
    assert answer.status_code == 503 and answer.json()["code"] == "database"
    assert "move it away and start again" in answer.json()["error"]


@pytest.mark.parametrize("lost", ["folder", "file", "replaced"])
def test_a_database_that_vanishes_under_the_server_takes_no_decision(review, lost):
    """Before, decisions were taken, answered with 200, and gone with the server: its file had no name any more."""
    folder = review.service.folder
    photo_id = review.get("/api/photos").json()["items"][0]["id"]
    review.service.model.cutter(), review.service.model.tiles()
    assert review.get("/readyz").status_code == 200
    if lost == "folder":
        shutil.move(folder, folder.with_name("moved"))
    else:
        (folder / "review.sqlite").rename(folder / "old.sqlite")
    if lost == "replaced":
        shutil.copy(folder / "old.sqlite", folder / "review.sqlite")
    answer = decide(review, photo_id, 1, "accept")
    assert answer.status_code == 503 and answer.json()["code"] == "database"
    assert "removed or replaced since the server was started" in answer.json()["error"]
    assert review.get("/readyz").status_code == 503 and review.get("/api/photos").status_code == 503
    assert review.get(f"/media/{photo_id}/thumbnail.jpg").status_code == 503
    assert folder.exists() == (lost != "folder")  # it may be a mount point
