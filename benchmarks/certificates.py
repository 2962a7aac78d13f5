"""Certificates for the rows with TLS, issued by the `openssl` command: `spiffe://default/<kind>/<name>`."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Authority:
    """An authority of the cluster `default`, for the time of one run."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._openssl("genpkey", "-algorithm", "ed25519", "-out", "ca.key")
        self._openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=ca", "-days", "2", "-out", "ca.pem")

    def issue(self, kind: str, name: str) -> dict[str, str]:
        """The environment of a process with its own certificate."""
        names = f"subjectAltName=URI:spiffe://default/{kind}/{name}\nbasicConstraints=critical,CA:FALSE\n"
        (self._directory / "extensions").write_text(f"{names}extendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl("genpkey", "-algorithm", "ed25519", "-out", f"{name}.key")
        (self._directory / f"{name}.key").chmod(0o600)
        self._openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", "request")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "extensions")
        self._openssl("x509", "-req", "-in", "request", *signed, "-out", f"{name}.pem")
        files = {"CA": "ca.pem", "CERT": f"{name}.pem", "KEY": f"{name}.key"}
        return {f"MPREG_TLS_{setting}": str(self._directory / file) for setting, file in files.items()}

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._directory, check=True, capture_output=True)
