"""Conan 2 recipe: builds the library from this tree with cargo, and packages what `make install` installs."""

import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.files import copy, load
from conan.tools.layout import basic_layout

# The files of the tree that a build of the library needs.
SOURCES = (
    "Cargo.toml", "Cargo.lock", "build.rs", "Makefile", "*.in", "README.md", "CHANGELOG.md", "LICENSE-*", "THIRD-PARTY-LICENSES",
    "src/*", "include/*", "cmake/*", "scripts/*", "bindings/cpp/include/*", "bindings/cpp/cmake/*", "tests/*", "tool/*", "benches/*",
    "examples/*", "fuzz/*",
)  # fmt: skip
EXCLUDED = ("*/target/*", "*/node_modules/*", "*/__pycache__/*")


class ClerkAuth(ConanFile):
    name = "clerk-auth"
    description = "Authentication of requests with Clerk tokens, for any server"
    license = "MIT OR Apache-2.0"
    homepage = "https://github.com/clerk-auth/clerk-auth"
    topics = ("clerk", "authentication", "jwt")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False]}
    default_options = {"shared": True}

    def set_version(self):
        manifest = load(self, os.path.join(self.recipe_folder, "..", "..", "Cargo.toml"))
        self.version = re.search(r'^version = "(.*)"', manifest, re.MULTILINE).group(1)

    def export_sources(self):
        root = os.path.join(self.recipe_folder, "..", "..")
        for pattern in SOURCES:
            copy(self, pattern, root, self.export_sources_folder, excludes=EXCLUDED)

    def configure(self):
        # The interface is C.
        self.settings.rm_safe("compiler.libcxx")
        self.settings.rm_safe("compiler.cppstd")

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("clerk-auth supports Linux")

    def layout(self):
        basic_layout(self, src_folder=".")

    def build(self):
        # A copy of SQLite, as there is no other requirement of the recipe.
        self.run("make lib SQLITE=bundled", cwd=self.source_folder)

    def package(self):
        self.run(f"make install SQLITE=bundled QUIET=1 PREFIX='{self.package_folder}'", cwd=self.source_folder)
        copy(self, "LICENSE-*", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "THIRD-PARTY-LICENSES", self.source_folder, os.path.join(self.package_folder, "licenses"))
        unused = "libclerk_auth.a" if self.options.shared else "libclerk_auth.so*"
        self.run(f"rm '{self.package_folder}'/lib/{unused}")

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "clerk_auth")
        self.cpp_info.set_property("cmake_target_name", "clerk_auth::clerk_auth")
        self.cpp_info.set_property("pkg_config_name", "clerk-auth")
        self.cpp_info.libs = ["clerk_auth"]
        if not self.options.shared:
            self.cpp_info.system_libs = ["util", "rt", "pthread", "m", "dl"]
