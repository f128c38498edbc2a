"""Cookies, tokens, links, passwords: forged and stale ones are worth nothing."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling_ui import sessions as sessions_module
from labeling_ui.passwords import Attempts, hash_password, same_password
from labeling_ui.people import Refused
from labeling_ui.sessions import VARIABLE, Sessions, secret_of
from rewardkit.errors import ConfigError, OutputError

SECRET = "s" * 40
HERE, THERE = Sessions(SECRET, "here"), Sessions(SECRET, "there")


def test_a_cookie_names_its_person_and_nothing_else_does():
    cookie = HERE.cookie("ann")
    assert HERE.person_of(cookie) == "ann"
    assert THERE.person_of(cookie) is None and Sessions("t" * 40, "here").person_of(cookie) is None
    assert HERE.person_of(HERE.invitation("ann")) is None and HERE.person_of(HERE.login("ann")) is None
    assert HERE.invited(cookie) is None and HERE.logged_in(cookie) is None
    assert HERE.person_of(None) is None


@given(st.text(max_size=200))
def test_no_text_is_a_cookie(text):
    assert HERE.person_of(text) is None and HERE.invited(text) is None and HERE.logged_in(text) is None


def test_cookies_and_links_grow_old(monkeypatch):
    cookie, login = HERE.cookie("ann"), HERE.login("kim")
    assert HERE.logged_in(login) == "kim"
    monkeypatch.setattr(sessions_module, "WEEK", -1)
    monkeypatch.setattr(sessions_module, "LOGIN_SECONDS", -1)
    assert HERE.person_of(cookie) is None and HERE.logged_in(login) is None


def test_invitations_differ_and_stay_good():
    one, other = HERE.invitation(), HERE.invitation()
    assert HERE.invited(one) == HERE.invited(one) != HERE.invited(other)


def test_csrf_tokens_belong_to_one_person_and_study():
    token = HERE.csrf("ann")
    assert HERE.same_csrf("ann", token)
    assert not HERE.same_csrf("ben", token) and not THERE.same_csrf("ann", token)
    assert not HERE.same_csrf("ann", None) and not HERE.same_csrf("ann", "é")


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    first = secret_of(tmp_path / "w")
    assert len(first) >= 32 and secret_of(tmp_path / "w") == first != secret_of(tmp_path / "v")
    assert stat.S_IMODE((tmp_path / "w" / "label.secret").stat().st_mode) == 0o600
    monkeypatch.setenv(VARIABLE, "from the environment, and long enough")
    assert secret_of(tmp_path / "w") == "from the environment, and long enough"
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(ConfigError, match="5 characters"):
        secret_of(tmp_path)


def test_a_secret_that_cannot_be_kept_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be kept"):
        secret_of(tmp_path / "file")


def test_passwords():
    stored = hash_password("correct horse")
    assert same_password("correct horse", stored) and not same_password("wrong horse", stored)
    assert not same_password("nobody has this password", None) and not same_password("x" * 10, "no hash")
    for bad in ("short", "x" * 201):
        with pytest.raises(Refused, match="10 to 200"):
            hash_password(bad)


def test_guessing_ends_after_five_failures_and_begins_again_later():
    now = [0.0]
    attempts = Attempts(clock=lambda: now[0])
    for _ in range(5):
        attempts.reserve("ann", "1.2.3.4")
    for keys in (("ann", "other"), ("ben", "1.2.3.4")):
        for look in (attempts.reserve, attempts.require):
            with pytest.raises(Refused, match="too many"):
                look(*keys)
    attempts.require("ben", "other")
    now[0] = 301.0
    attempts.require("ann", "1.2.3.4")


def test_of_attempts_at_the_same_time_five_are_looked_at_and_right_ones_do_not_count():
    attempts = Attempts()

    def guess(_):
        try:
            attempts.reserve("ann")
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(guess, range(20))) == 5
    attempts.release("ann")
    attempts.reserve("ann")
    with pytest.raises(Refused):
        attempts.reserve("ann")


def test_names_are_forgotten_with_their_attempts():
    now = [0.0]
    attempts = Attempts(clock=lambda: now[0])
    attempts.reserve("ann")
    attempts.release("ann")
    assert not attempts._made
    for number in range(100):
        attempts.reserve(f"name {number}")
    now[0] = 301.0
    attempts.require("somebody else")
    assert not attempts._made
