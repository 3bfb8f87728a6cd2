"""The database from the environment."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.exceptions import ImproperlyConfigured

from gridbot_site.databases import database_from_environment, limit_statements

BASE = Path("/srv/gridbot")
PASSWORD = "p@:/#% ?&w"


def database(**environment):
    return database_from_environment(environment, base_dir=BASE)


def picked(config, *names):
    return tuple(config[name] for name in names)


def test_without_a_word_it_is_a_file_beside_the_project():
    config = database()
    assert config["ENGINE"] == "django.db.backends.sqlite3"
    assert config["NAME"] == "/srv/gridbot/gridbot.db"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///data.sqlite3", "/srv/gridbot/data.sqlite3"),
        ("sqlite:////tmp/x.sqlite3", "/tmp/x.sqlite3"),
        ("sqlite://:memory:", ":memory:"),
    ],
)
def test_a_sqlite_url_names_a_file(url, name):
    assert database(DATABASE_URL=url)["NAME"] == name


def test_sqlite_takes_the_write_lock_at_the_beginning_and_waits_for_it():
    options = database(DATABASE_URL="sqlite:///x?cache=shared")["OPTIONS"]
    assert (options["transaction_mode"], options["timeout"]) == ("IMMEDIATE", 30)
    assert "journal_mode=WAL" in options["init_command"]
    assert options["cache"] == "shared"


def test_a_postgresql_url_is_taken_apart():
    config = database(DATABASE_URL="postgresql://user:word@db.example:5433/name?sslmode=require")
    assert config["ENGINE"] == "django.db.backends.postgresql"
    assert picked(config, "USER", "PASSWORD", "HOST", "PORT", "NAME") == (
        *("user", "word", "db.example", 5433, "name"),
    )
    assert config["OPTIONS"]["sslmode"] == "require"
    assert config["CONN_HEALTH_CHECKS"]


def test_a_url_may_lead_to_a_socket():
    config = database(DATABASE_URL="postgresql://postgres:@/postgres?host=/tmp/x")
    assert picked(config, "USER", "HOST", "NAME") == ("postgres", "", "postgres")
    assert config["OPTIONS"]["host"] == "/tmp/x"


@pytest.mark.parametrize(
    "environment",
    [{"DATABASE_URL": "postgresql://u@h/n"}, {"GRIDBOT_DB_TYPE": "postgresql"}],
)
def test_a_server_that_falls_silent_is_given_up(environment):
    options = database(**environment)["OPTIONS"]
    assert options == {
        "connect_timeout": 10,
        "tcp_user_timeout": 10_000,
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }


def test_a_url_may_name_other_limits():
    options = database(DATABASE_URL="postgresql://u@h/n?connect_timeout=3")["OPTIONS"]
    assert (options["connect_timeout"], options["keepalives_idle"]) == (3, 5)


def test_a_password_may_hold_any_character_when_it_is_encoded():
    url = f"postgresql://user:{quote(PASSWORD, safe='')}@host/name"
    assert database(DATABASE_URL=url)["PASSWORD"] == PASSWORD


def test_a_password_may_hold_any_character_by_parts():
    config = database(
        GRIDBOT_DB_TYPE="postgresql",
        GRIDBOT_DB_HOST="host",
        GRIDBOT_DB_PORT="5433",
        GRIDBOT_DB_USER="user",
        GRIDBOT_DB_PASSWORD=PASSWORD,
    )
    assert picked(config, "NAME", "HOST", "PORT", "USER") == ("gridbot", "host", "5433", "user")
    assert config["PASSWORD"] == PASSWORD


def test_the_type_is_read_in_any_case_and_the_name_by_parts():
    assert database(GRIDBOT_DB_TYPE="SQLite", GRIDBOT_DB_NAME="/x")["NAME"] == "/x"
    config = database(GRIDBOT_DB_TYPE="PostgreSQL", GRIDBOT_DB_NAME="facts")
    assert config["NAME"] == "facts"


def test_the_first_that_is_given_wins():
    everything = {
        "DATABASE_URL": "sqlite:///first",
        "EVENTSAVER_DATABASE_URL": "sqlite:///second",
        "GRIDBOT_DB_NAME": "third",
    }
    found = []
    for name in list(everything):
        found.append(Path(database(**everything)["NAME"]).name)
        everything[name] = ""
    assert found == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"DATABASE_URL": "mysql://u:hush@h/n"}, "DATABASE_URL must begin with sqlite://"),
        ({"DATABASE_URL": "hush"}, "DATABASE_URL must begin with sqlite://"),
        ({"DATABASE_URL": "postgresql://u:hush@h:port/n"}, "DATABASE_URL cannot be read"),
        ({"DATABASE_URL": "postgresql://u:hu/sh@h:1/n"}, "percent-encode @ : / # %"),
        ({"DATABASE_URL": "postgresql://u:12/hush@h/n"}, "percent-encode @ : / # %"),
        ({"DATABASE_URL": "postgresql://u:12/hush@h:1/n?x=y"}, "percent-encode @ : / # %"),
        ({"DATABASE_URL": "postgresql://u%3Ahush@h/n"}, "DATABASE_URL cannot be read"),
        ({"DATABASE_URL": "postgresql://u:hush@h"}, "DATABASE_URL names no database"),
        ({"EVENTSAVER_DATABASE_URL": "x://hush"}, "EVENTSAVER_DATABASE_URL must begin"),
        ({"GRIDBOT_DB_TYPE": "mysql"}, "GRIDBOT_DB_TYPE must be sqlite or postgresql, not 'mysql'"),
        (
            {"GRIDBOT_DB_TYPE": "postgresql", "GRIDBOT_DB_PORT": "x"},
            "GRIDBOT_DB_PORT must be a number, not 'x'",
        ),
    ],
)
def test_what_names_no_database_is_refused_without_its_password(environment, message, recwarn):
    with pytest.raises(ImproperlyConfigured) as error:
        database(**environment)
    assert message in str(error.value)
    assert "hush" not in str(error.value)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("url", "seconds", "options"),
    [
        ("postgresql:///name", 30.0, "-c statement_timeout=30000"),
        ("postgresql:///name", 0.0001, "-c statement_timeout=1"),
        # The last one counts.
        ("postgresql:///name?options=-c%20x%3D1", 0.25, "-c statement_timeout=250 -c x=1"),
        ("postgresql:///name", 0.0, None),
        ("sqlite:///name", 30.0, None),
    ],
)
def test_the_statements_of_pages_have_a_limit_which_those_of_commands_have_not(
    url, seconds, options
):
    config = database(DATABASE_URL=url)
    assert "statement_timeout" not in str(config)
    limit_statements(config, seconds)
    assert config["OPTIONS"].get("options") == options
    assert "statement_timeout" not in str(database(DATABASE_URL=url))


def test_the_limit_takes_nothing_away_that_pgoptions_says(monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c search_path=own")
    config = database(DATABASE_URL="postgresql:///name")
    limit_statements(config, 30.0)
    assert config["OPTIONS"]["options"] == "-c statement_timeout=30000 -c search_path=own"
    config = database(DATABASE_URL="postgresql:///name?options=-c%20x%3D1")
    limit_statements(config, 30.0)
    assert config["OPTIONS"]["options"] == "-c statement_timeout=30000 -c x=1"
