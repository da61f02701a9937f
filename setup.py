"""Puts conf/ into the wheel as convscope/conf; everything else about the package stands in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONF = Path("conf")  # stays at the top of the repository, where an editable installation reads it


class BuildWithConf(build_py):
    """Copies the modules and data of the package, and conf/ into it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._conf_files().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        conf = [] if self.editable_mode else list(self._conf_files().values())
        return [*super().get_outputs(include_bytecode), *conf]

    def get_source_files(self) -> list[str]:
        """The files of the source distribution."""
        return [*super().get_source_files(), *self._conf_files()]

    def _conf_files(self) -> dict[str, str]:
        """Each file of conf/ -> its place in the build."""
        return {str(path): str(Path(self.build_lib, "convscope", path)) for path in sorted(CONF.rglob("*.yaml"))}


setup(cmdclass={"build_py": BuildWithConf})
