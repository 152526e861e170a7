# The library out of this source tree: its Makefile builds it with cargo, whenever a source has changed. clerk_auth::clerk_auth
# is the shared library, clerk_auth::static the archive; only what a target links is built.
get_filename_component(_root "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
find_program(CLERK_AUTH_MAKE NAMES gmake make REQUIRED)
set(CLERK_AUTH_JOBS 2 CACHE STRING "How many jobs cargo may run")

# clerk_auth_build(TARGET FILE TYPE): the imported library clerk_auth::TARGET, which make builds as build/FILE.
function(clerk_auth_build target file type)
  add_custom_target(clerk_auth_build_${target}
    COMMAND ${CMAKE_COMMAND} -E env --unset=MAKEFLAGS --unset=MFLAGS
            ${CLERK_AUTH_MAKE} -C "${_root}" JOBS=${CLERK_AUTH_JOBS} build/${file}
    BYPRODUCTS "${_root}/build/${file}"
    VERBATIM)
  add_library(clerk_auth::${target} ${type} IMPORTED GLOBAL)
  set_target_properties(clerk_auth::${target} PROPERTIES
    IMPORTED_LOCATION "${_root}/build/${file}"
    INTERFACE_INCLUDE_DIRECTORIES "${_root}/include")
  add_dependencies(clerk_auth::${target} clerk_auth_build_${target})
endfunction()

clerk_auth_build(clerk_auth libclerk_auth.so.0 SHARED)
clerk_auth_build(static libclerk_auth.a STATIC)
set_target_properties(clerk_auth::clerk_auth PROPERTIES IMPORTED_SONAME libclerk_auth.so.0)
set_target_properties(clerk_auth::static PROPERTIES INTERFACE_LINK_LIBRARIES "util;rt;pthread;m;dl;c")
