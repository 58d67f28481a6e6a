# Third-party libraries, one interface target each. Everything comes from the system's packages,
# llhttp from there or, where the distribution has none new enough, from build/deps (scripts/deps
# puts it there).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(dm_library NAME MODULE)
    pkg_check_modules(${NAME} REQUIRED IMPORTED_TARGET GLOBAL ${MODULE})
    add_library(dm_${NAME} INTERFACE)
    target_link_libraries(dm_${NAME} INTERFACE PkgConfig::${NAME})
endfunction()

dm_library(cjson libcjson)
dm_library(yaml yaml-0.1)
dm_library(pcre2 libpcre2-8)
dm_library(openssl "openssl>=3.0")
dm_library(crypt libcrypt)
# A sanitizer's library has a crypt_r of its own, in front of the real one: the linker must not take
# libcrypt for unneeded.
if(DOORMAN_SANITIZE)
    target_link_libraries(dm_crypt INTERFACE -Wl,--push-state,--no-as-needed,-lcrypt,--pop-state)
endif()
dm_library(sodium libsodium)
dm_library(cares libcares)
dm_library(microhttpd "libmicrohttpd>=0.9.75")
dm_library(zlib zlib)
dm_library(mongoc "libmongoc-1.0>=1.23")
# bson_t asks for 128 bytes, which gcc's stack for detect_stack_use_after_return does not give.
if(DOORMAN_SANITIZE MATCHES "undefined")
    target_compile_options(dm_mongoc INTERFACE -fno-sanitize=alignment)
endif()
dm_library(hiredis "hiredis>=0.14")

find_path(LLHTTP_INCLUDE llhttp.h HINTS ${CMAKE_SOURCE_DIR}/build/deps/llhttp/usr/include)
if(NOT LLHTTP_INCLUDE)
    message(FATAL_ERROR "llhttp 9.2 is not here: run ./scripts/deps first, then this again")
endif()
find_library(LLHTTP_LIBRARY NAMES llhttp libllhttp.so.9.2
             HINTS ${CMAKE_SOURCE_DIR}/build/deps/llhttp/usr/lib/x86_64-linux-gnu
                   ${CMAKE_SOURCE_DIR}/build/deps/llhttp/usr/lib/aarch64-linux-gnu REQUIRED)
add_library(dm_llhttp INTERFACE)
target_include_directories(dm_llhttp SYSTEM INTERFACE ${LLHTTP_INCLUDE})
target_link_libraries(dm_llhttp INTERFACE ${LLHTTP_LIBRARY})
get_filename_component(LLHTTP_DIR ${LLHTTP_LIBRARY} DIRECTORY)
target_link_options(dm_llhttp INTERFACE -Wl,-rpath,${LLHTTP_DIR})
