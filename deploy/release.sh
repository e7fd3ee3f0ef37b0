#!/usr/bin/env bash
# `make release`: wheel and sdist, tried in a clean environment of each Python; what the two images contain (SBOM) and its licences.
# PYTHONS names the interpreters; an interpreter that is not there is said and left out.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:?the environment\'s python}
tools=build/release-tools
rm -rf dist build/release-try
mkdir -p build

"$python" -m hatchling build
test -x $tools/bin/cyclonedx-py || { "$python" -m venv $tools && $tools/bin/pip install --quiet cyclonedx-bom pip-licenses; }
for image in service worker; do
  $tools/bin/cyclonedx-py requirements "deploy/locks/$image.txt" --pyproject pyproject.toml --output-reproducible \
    --of JSON -o "dist/sbom-$image.cdx.json"
  grep -oE '^[A-Za-z0-9._-]+' "deploy/locks/$image.txt" | sort -u > "build/$image-packages.txt"
  # shellcheck disable=SC2046
  $tools/bin/pip-licenses --python "$python" --packages $(cat "build/$image-packages.txt") --format markdown --with-urls \
    --order name > "dist/licences-$image.md"
done

tried=0
for interpreter in ${PYTHONS:-python3.11 python3.12 python3.13}; do
  if ! "$interpreter" -c 'import sys' >/dev/null 2>&1; then
    echo "$interpreter is not here: not tried"
    continue
  fi
  for file in dist/*.whl dist/*.tar.gz; do
    folder=build/release-try/$(basename "$interpreter")-${file##*.}
    "$interpreter" -m venv "$folder"
    "$folder/bin/pip" install --quiet "$file"
    (cd build/release-try && "../../$folder/bin/gfi" --version && "../../$folder/bin/gfi" --help >/dev/null &&
      "../../$folder/bin/python" -c 'from gfi.client import Client')
    tried=$((tried + 1))
  done
done
test "$tried" -gt 0 || { echo "no interpreter was found: set PYTHONS"; exit 1; }
ls -1 dist
