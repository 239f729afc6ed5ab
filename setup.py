"""What setup.cfg cannot say: where the project lives, and that configs/ is mapl_jax/configs."""

from setuptools import find_packages, setup

# Where the repository is. Set it here; `python docs/make.py` puts it everywhere else.
PROJECT_URL = "https://github.com/OWNER/mapl_jax"

setup(
    packages=[*find_packages(include=["mapl_jax", "mapl_jax.*"]), "mapl_jax.configs"],
    package_dir={"mapl_jax.configs": "configs"},
    url=PROJECT_URL,
    project_urls={
        "Source": PROJECT_URL,
        "Issues": f"{PROJECT_URL}/issues",
        "Documentation": f"{PROJECT_URL}/tree/main/docs",
        "Changelog": f"{PROJECT_URL}/blob/main/CHANGELOG.md",
    },
)
