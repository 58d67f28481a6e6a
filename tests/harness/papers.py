"""Certificates of CAs of our own, made by openssl for one run of the tests."""

import subprocess

CERTIFICATES = {
    "server": "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1",
    "elsewhere": "subjectAltName=DNS:elsewhere.example,IP:127.0.0.2",
    "client": "extendedKeyUsage=clientAuth",
}


def make_papers(folder):
    """ca.pem and otherca.pem; NAME.pem and NAME.key of CERTIFICATES, signed by the first."""

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], cwd=folder, check=True, capture_output=True)

    for ca in ("ca", "otherca"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", 2, "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    for name, extension in CERTIFICATES.items():
        (folder / f"{name}.ext").write_text(extension)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", 2, "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    return folder
