# The library out of this source tree: its Makefile builds the archive with cargo, whenever a source has changed.
get_filename_component(_root "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(_archive "${_root}/build/libclerk_auth.a")
find_program(CLERK_AUTH_MAKE NAMES gmake make REQUIRED)
message(STATUS "clerk_auth is not installed: building ${_archive}")

set(CLERK_AUTH_JOBS 2 CACHE STRING "How many jobs cargo may run")
add_custom_target(clerk_auth_core
  COMMAND ${CMAKE_COMMAND} -E env --unset=MAKEFLAGS --unset=MFLAGS
          ${CLERK_AUTH_MAKE} -C "${_root}" JOBS=${CLERK_AUTH_JOBS} build/libclerk_auth.a
  BYPRODUCTS "${_archive}"
  VERBATIM)

add_library(clerk_auth::static STATIC IMPORTED GLOBAL)
set_target_properties(clerk_auth::static PROPERTIES
  IMPORTED_LOCATION "${_archive}"
  INTERFACE_INCLUDE_DIRECTORIES "${_root}/include"
  INTERFACE_LINK_LIBRARIES "util;rt;pthread;m;dl;c")
add_dependencies(clerk_auth::static clerk_auth_core)
