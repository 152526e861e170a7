# Builds the library of this tree with cargo, which must be installed, and packages what `make install` installs:
# `vcpkg install clerk-auth --overlay-ports=packaging/vcpkg`.
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)

find_program(CARGO cargo HINTS "$ENV{HOME}/.cargo/bin" REQUIRED)
find_program(MAKE make REQUIRED)
get_filename_component(CARGO_FOLDER "${CARGO}" DIRECTORY)
vcpkg_add_to_path("${CARGO_FOLDER}")

vcpkg_execute_required_process(
  COMMAND "${MAKE}" install SQLITE=bundled QUIET=1 "PREFIX=${CURRENT_PACKAGES_DIR}"
          "CARGO_TARGET_DIR=${CURRENT_BUILDTREES_DIR}/${TARGET_TRIPLET}-rel"
  WORKING_DIRECTORY "${SOURCE_PATH}"
  LOGNAME "install-${TARGET_TRIPLET}")

if(VCPKG_LIBRARY_LINKAGE STREQUAL "static")
  file(GLOB unused "${CURRENT_PACKAGES_DIR}/lib/libclerk_auth.so*")
  file(REMOVE ${unused})
else()
  file(REMOVE "${CURRENT_PACKAGES_DIR}/lib/libclerk_auth.a")
endif()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/doc")
vcpkg_cmake_config_fixup(PACKAGE_NAME clerk_auth CONFIG_PATH lib/cmake/clerk_auth)
vcpkg_fixup_pkgconfig()
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE-MIT" "${SOURCE_PATH}/LICENSE-APACHE" "${SOURCE_PATH}/THIRD-PARTY-LICENSES")
