"""scripts/image-root: what an image holds, and the bill of materials that tells of it."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = "/usr/bin/openssl"  # any program of Debian with libraries


def test_an_image_holds_a_program_its_libraries_and_their_bill(tmp_path):
    made = subprocess.run([ROOT / "scripts" / "image-root", tmp_path, PROGRAM],
                          capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert "usr/bin/openssl" in files and [f for f in files if "/libc.so" in f]
    assert not [f for f in files if pathlib.Path(f).name in ("sh", "bash", "dash", "dpkg", "apt")]
    assert (tmp_path / "tmp").stat().st_mode & 0o7777 == 0o1777
    bill = json.loads((tmp_path / "usr/share/doc/doorman/sbom.spdx.json").read_text())
    assert bill["spdxVersion"] == "SPDX-2.3"
    packages = {p["name"]: p for p in bill["packages"]}
    assert bill["packages"][0]["name"] == "openssl"
    assert {"libc6", "ca-certificates"} <= packages.keys()
    for name, package in packages.items():
        if "externalRefs" in package:
            installed = subprocess.run(["dpkg-query", "-W", "-f", "${Version}\n", name],
                                       capture_output=True, text=True, check=True).stdout
            assert package["versionInfo"] in installed.splitlines()
    assert len({p["SPDXID"] for p in bill["packages"]}) == len(bill["packages"])


def test_the_images_name_their_bill():
    script = (ROOT / "scripts" / "image-root").read_text()
    for name, images in (("Dockerfile.gateway", 1), ("Dockerfile.admin", 2)):
        text = (ROOT / name).read_text()
        assert text.count('io.doorman.sbom="/usr/share/doc/doorman/sbom.spdx.json"') == images
    assert "SBOM=/usr/share/doc/doorman/sbom.spdx.json" in script
