"""`python -m local.emulators.identity` as a process: ready line, clean stop, readable configuration errors."""

import subprocess
import sys

import httpx

ARGUMENTS = [sys.executable, "-m", "local.emulators.identity"]
KEYS = ["--signing-key", "k" * 32, "--identity-header", "header", "--client-id", "c-1", "--client-secret", "s-1"]


def test_it_says_where_it_listens_and_stops_with_its_stdin() -> None:
    with subprocess.Popen(  # noqa: S603  # our own module
        [*ARGUMENTS, *KEYS, "--exit-with-stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip().removeprefix("identity ready ")
        response = httpx.post(
            f"{url}/5f0c1f0e-9a55-4a3d-8f60-0f8a3e1f6b10/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": "c-1",
                "client_secret": "s-1",
                "scope": "https://o/.default",
            },
            trust_env=False,
        )
        process.stdin.close()
        assert process.wait(60) == 0
    assert response.status_code == 200


def test_a_short_signing_key_is_refused_without_being_shown() -> None:
    result = subprocess.run(  # noqa: S603  # our own module
        [*ARGUMENTS, "--signing-key", "short-key", "--identity-header", "h"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 2
    assert "signing_key" in result.stderr
    assert "short-key" not in result.stderr
