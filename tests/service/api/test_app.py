"""The application is made without torch and without any service."""

import subprocess
import sys


def test_the_application_is_made_without_torch_and_without_configuration() -> None:
    code = (
        "import sys, os\n"
        "for name in list(os.environ):\n"
        "    name.startswith('GFI_') and os.environ.pop(name)\n"
        "from gfi.api import create_app\n"
        "app = create_app(); app.openapi()\n"
        "import gfi.client\n"
        "assert 'torch' not in sys.modules, 'torch was loaded'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")
