"""The accounts of a sandbox: how they are given, driven from outside, and played from recordings."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError, call_command
from websocket import create_connection

from marketdata.sandbox import SandboxAccount, SandboxConfig, SandboxServer, read_accounts

PAYLOADS = Path(__file__).parent / "payloads"
SAMPLES = {
    topic: json.loads((PAYLOADS / f"ws_private_{topic}.json").read_text(encoding="utf-8"))
    for topic in ("execution", "order", "position", "wallet")
}
SECRET = "a-secret-that-nobody-shall-see"


def account(name="alice", **more):
    return SandboxAccount(**{"name": name, "api_key": f"key-{name}", "api_secret": SECRET} | more)


def written(path: Path, entries, mode=0o600):
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    path.chmod(mode)
    return path


def entry(name="alice", **more):
    return {"name": name, "api_key": f"key-{name}", "api_secret": SECRET} | more


def subscribed(sandbox, account, topics=("execution", "order", "position", "wallet")):
    keys, expires = sandbox.accounts[account], int(time.time() * 1000) + 5000
    signed = f"GET/realtime{expires}".encode()
    signature = hmac.new(keys.api_secret.encode(), signed, hashlib.sha256).hexdigest()
    ws = create_connection(sandbox.ws_private_url, timeout=20)
    for frame in (
        {"op": "auth", "args": [keys.api_key, expires, signature]},
        {"op": "subscribe", "args": topics},
    ):
        ws.send(json.dumps(frame))
        assert json.loads(ws.recv())["success"]
    return ws


def close(*sockets):
    for ws in sockets:
        ws.close()
        ws.shutdown()


def post(sandbox, endpoint, /, **body):
    answer = requests.post(f"{sandbox.rest_url}/sandbox/{endpoint}", json=body, timeout=20)
    return answer.json()


# --- configuration -------------------------------------------------------------------------------


def test_a_secret_is_not_in_the_repr():
    assert SECRET not in repr(SandboxConfig(accounts=(account(),)))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": ""}, "The name of an account has 1 to 100 characters."),
        ({"name": 7}, "The name of an account has 1 to 100 characters."),
        ({"api_key": ""}, "Account 'alice' needs a key and a secret."),
        ({"api_secret": 5}, "Account 'alice' needs a key and a secret."),
        ({"rate": -1}, "The rate of an account must be 0 to 100000 events a second."),
        ({"rate": 100_001}, "The rate of an account must be 0 to 100000 events a second."),
        ({"rate": True}, "The rate of an account must be 0 to 100000 events a second."),
        ({"rate": float("nan")}, "The rate of an account must be 0 to 100000 events a second."),
        ({"hedge_mode": "yes"}, "hedge_mode of account 'alice' is true or false."),
        ({"read_only": "no"}, "read_only of account 'alice' is true or false."),
        (
            {"key": {"apiKey": "x"}},
            "key is an object of permissions, ips, expiredAt, deadlineDay, uta.",
        ),
        (
            {"refusal": "10001"},
            "refusal is empty or one of params, 10003, 10004, 10005, 10006, 10010, 33004.",
        ),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(wrong, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentence is compared below
        account(**wrong)
    assert str(caught.value) == sentence


def test_names_and_keys_are_distinct():
    with pytest.raises(ValueError, match="named twice"):
        SandboxConfig(accounts=(account(), account(api_key="other")))
    with pytest.raises(ValueError, match="the same key"):
        SandboxConfig(accounts=(account(), account("bob", api_key="key-alice")))


def test_accounts_come_from_a_file(tmp_path):
    file = written(tmp_path / "a.json", [entry(), entry("bob", rate=2, key={"uta": 0})])
    assert read_accounts(file) == (account(), account("bob", rate=2, key={"uta": 0}))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_file_that_is_open_to_others_is_refused(tmp_path, mode):
    file = written(tmp_path / "a.json", [entry()], mode)
    with pytest.raises(ValueError, match="holds secrets and is open to others; chmod 600 it"):
        read_accounts(file)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is no JSON."),
        ({}, "is no list of accounts."),
        ([SECRET], "account 1: not an object of name, api_key"),
        ([entry(), entry(password=SECRET)], "account 2: not an object of name, api_key"),
        ([{"api_secret": SECRET}], "account 1: name, api_key missing."),
        ([entry(rate="fast")], "account 1: The rate of an account must be"),
        ([entry(refusal=SECRET)], "account 1: refusal is empty or one of"),
        ([entry(refusal=[])], "account 1: refusal is empty or one of"),
    ],
)
def test_a_file_that_is_wrong_is_told_so_without_its_secrets(tmp_path, content, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentence is compared below
        read_accounts(written(tmp_path / "a.json", content))
    assert sentence in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_command_takes_the_file(tmp_path):
    open_file = written(tmp_path / "open.json", [entry()], 0o644)
    for path, sentence in ((open_file, "chmod 600"), (tmp_path / "none", "No such file")):
        with pytest.raises(CommandError, match=sentence) as caught:
            call_command("sandbox", "--accounts", str(path))
        assert caught.value.returncode == 2


def test_a_pipe_may_hand_the_accounts_over():
    reader, writer = os.pipe()
    os.write(writer, json.dumps([entry()]).encode())
    os.close(writer)
    assert read_accounts(Path(f"/dev/fd/{reader}")) == (account(),)
    os.close(reader)


# --- from outside --------------------------------------------------------------------------------


def test_the_status_names_accounts_and_no_secret(private_sandbox):
    ws = subscribed(private_sandbox, "alice")
    text = requests.get(f"{private_sandbox.rest_url}/sandbox/status", timeout=20).text
    close(ws)
    status = json.loads(text)
    assert [one["account"] for one in status["accounts"]] == ["alice", "bob", "charlie"]
    assert (status["accounts"][0]["connections"], status["accounts"][1]["connections"]) == ([1], [])
    assert (status["connections"][0]["channel"], status["connections"][0]["account"]) == (
        "private",
        "alice",
    )
    assert private_sandbox.accounts["alice"].api_secret not in text


def test_an_account_is_flooded_and_calmed(private_sandbox):
    private_sandbox.pause()
    assert post(private_sandbox, "account", account="alice", rate=4)["rate"] == 4
    assert post(private_sandbox, "account", account="alice", action="flood")["rate"] == 200
    assert post(private_sandbox, "account", account="alice", action="flood", factor=3)["rate"] == 12
    assert post(private_sandbox, "account", account="alice", refusal="10003")["refusal"] == "10003"
    assert post(private_sandbox, "account", account="alice", action="calm", refusal="")["rate"] == 4


def test_orders_live_and_die_when_they_are_told_to(private_sandbox):
    assert post(private_sandbox, "account", account="bob", action="script", steps=5)["orders"] == 5
    assert private_sandbox.private_rows("bob", "order")


@pytest.mark.parametrize(
    ("endpoint", "body", "sentence"),
    [
        ("account", {}, "There is no account ''."),
        ("account", {"account": "alice", "action": "sing"}, "action is one of flood, calm, script."),
        ("account", {"account": "alice", "rate": "fast"}, "The rate of an account must be 0 to 100000 events a second."),
        ("account", {"account": "alice", "rate": 1e6}, "The rate of an account must be 0 to 100000 events a second."),
        ("account", {"account": "alice", "rate": 1e4, "action": "flood"}, "The rate of an account must be 0 to 100000 events a second."),
        ("account", {"account": "alice", "factor": -1}, "factor is a number from 0 to 1000."),
        ("account", {"account": "alice", "steps": 1e9}, "steps is a number from 0 to 10000."),
        ("break", {"channel": "spot"}, "channel is one of public, private."),
        ("break", {"account": "mallory"}, "There is no account 'mallory'."),
        ("send", {"text": "x", "topic": "order", "account": "mallory"}, "There is no account 'mallory'."),
        ("send", {"text": "x", "topic": "publicTrade.BTCUSDT", "account": "alice"}, "There is no topic 'publicTrade.BTCUSDT' of account 'alice'."),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told_so_in_a_sentence(private_sandbox, endpoint, body, sentence):
    assert post(private_sandbox, endpoint, **body) == {"error": sentence}


def test_a_wrong_request_changes_nothing(private_sandbox):
    post(private_sandbox, "account", account="alice", rate=5, refusal="nonsense")
    post(private_sandbox, "account", account="alice", rate=5, action="sing")
    post(private_sandbox, "account", account="alice", rate=1e5, refusal="10003", action="flood")
    assert private_sandbox.status()["accounts"][0]["rate"] == 0
    assert private_sandbox.status()["accounts"][0]["refusal"] == ""


def test_a_break_takes_a_channel_or_an_account(private_sandbox):
    public = create_connection(private_sandbox.ws_public_url, timeout=20)
    alice, bob = subscribed(private_sandbox, "alice"), subscribed(private_sandbox, "bob")
    assert post(private_sandbox, "break", how="close", account="alice") == {"connections": 1}
    assert post(private_sandbox, "break", how="close", channel="public") == {"connections": 1}
    assert private_sandbox.status()["accounts"][1]["connections"] == [3]
    assert post(private_sandbox, "break", how="close") == {"connections": 1}
    close(public, alice, bob)


def test_text_goes_to_an_account_or_to_all(private_sandbox):
    alice, bob = subscribed(private_sandbox, "alice"), subscribed(private_sandbox, "bob")
    sent = post(private_sandbox, "send", text="{broken", topic="order", account="alice")
    assert (sent, alice.recv()) == ({"connections": 1}, "{broken")
    assert post(private_sandbox, "send", text="both", topic="order") == {"connections": 2}
    assert post(private_sandbox, "send", text="alice", account="alice") == {"connections": 1}
    assert (alice.recv(), alice.recv(), bob.recv()) == ("both", "alice", "both")
    close(alice, bob)


# --- recordings ----------------------------------------------------------------------------------


def recorded(tmp_path, *entries):
    path = tmp_path / "recording.jsonl"
    lines = [
        {"ms": 1759432560950 + n, "channel": c, "frame": f} for n, (c, f) in enumerate(entries)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def playing(path, *names):
    config = SandboxConfig(recordings=(path,), paused=True, accounts=tuple(map(account, names)))
    return SandboxServer(config)


def test_recorded_private_frames_are_played_as_they_were(tmp_path):
    path = recorded(tmp_path, *(("private", frame) for frame in SAMPLES.values()))
    with playing(path, "alice", "bob") as sandbox:
        alice, bob = subscribed(sandbox, "alice"), subscribed(sandbox, "bob")
        sandbox.resume()
        sandbox.wait_for_replay()
        for ws in (alice, bob):
            assert [json.loads(ws.recv()) for _ in SAMPLES] == list(SAMPLES.values())
        close(alice, bob)
        for topic, frame in SAMPLES.items():
            assert sandbox.private_rows("alice", topic) == frame["data"]
        assert sandbox.status()["symbols"] == ["SOLUSDT"]
        assert [one["orders"] for one in sandbox.status()["accounts"]] == [1, 1]


def test_a_recorded_frame_may_belong_to_one_account(tmp_path):
    order = SAMPLES["order"]
    path = recorded(
        tmp_path,
        ("private:bob", order),
        ("private", order | {"topic": "order.linear"}),
        ("private:bob", "{broken"),
        ("private:alice", order | {"creationTime": "odd", "data": {}}),
    )
    with playing(path, "alice", "bob") as sandbox:
        alice, bob = (
            subscribed(sandbox, "alice"),
            subscribed(sandbox, "bob", ["order", "execution"]),
        )
        extra = subscribed(sandbox, "alice", ["order.linear"])
        sandbox.resume()
        sandbox.wait_for_replay()
        assert json.loads(alice.recv())["data"] == {}
        assert json.loads(extra.recv())["topic"] == "order.linear"
        assert json.loads(bob.recv()) == order
        assert bob.recv() == "{broken"
        close(alice, bob, extra)
        assert len(sandbox.private_rows("bob", "order")) == 2


def test_a_recording_for_somebody_unknown_is_refused(tmp_path):
    path = recorded(tmp_path, ("private:mallory", SAMPLES["order"]))
    with pytest.raises(ValueError, match="There is no account 'mallory'"):
        playing(path, "alice").__enter__()
