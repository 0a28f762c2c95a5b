# What every target of berth has in common, and the two functions the folders use to declare theirs.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(GTest REQUIRED)
include(GoogleTest)

add_library(berth_options INTERFACE)
target_include_directories(berth_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(berth_options INTERFACE -Wall -Wextra -Werror -Wnon-virtual-dtor -Woverloaded-virtual -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # g++ 12 finds overlapping copies in ordinary string concatenation (its bug 105651).
  target_compile_options(berth_options INTERFACE -Wno-restrict)
endif()
target_compile_definitions(berth_options INTERFACE BERTH_VERSION="${PROJECT_VERSION}" _FILE_OFFSET_BITS=64)
if(BERTH_FAULTS)
  target_compile_definitions(berth_options INTERFACE BERTH_FAULTS=1)
endif()
if(BERTH_SANITIZE)
  add_compile_options(-fsanitize=${BERTH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BERTH_SANITIZE})
  if(BERTH_SANITIZE MATCHES address AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # Linked dynamically, gcc 12's UBSan ignores log_path: a detached monitor's reports would be lost.
    add_link_options(-static-libasan -static-libubsan)
  endif()
else()
  target_compile_definitions(berth_options INTERFACE $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
endif()

if(BERTH_FUZZERS)
  # Everything that a fuzzer may reach reports its coverage.
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_custom_target(fuzzers)
endif()

# berth_library(NAME SOURCES a.cc … DEPS x …): the static library berth_NAME of a folder. DEPS are what its
# public headers and code may include; the linker keeps the arrows of docs/architecture.md.
function(berth_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(berth_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(berth_${name} PUBLIC berth_options ${ARG_DEPS})
endfunction()

# berth_test(NAME SOURCES a_test.cc … DEPS x …): a GoogleTest program, one ctest case per TEST.
# Tests named *_real_test ask the kernel (mounts, cgroups, namespaces) and carry the label "real".
function(berth_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE berth_options ${ARG_DEPS} GTest::gmock GTest::gtest GTest::gtest_main)
  # What is tested is optimized in a release; what tests it takes a third less to compile when it is not.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O0>)
  set(labels unit)
  if(name MATCHES "_real_test$")
    set(labels real)
  endif()
  gtest_discover_tests(${name} PROPERTIES LABELS ${labels} TIMEOUT 120 DISCOVERY_TIMEOUT 60)
endfunction()

# berth_fuzzer(NAME SOURCE x_fuzzer.cc SEEDS DIR DEPS x …): a libFuzzer program NAME_fuzzer and a ctest case
# fuzz.NAME that runs it from the committed seeds for BERTH_FUZZ_SECONDS. What it finds on the way is kept in
# the build directory, and a case that fails is written there. Nothing without BERTH_FUZZERS.
set(BERTH_FUZZ_SECONDS 5 CACHE STRING "How long ctest runs each fuzzer")
set(BERTH_FUZZ_SEED 1 CACHE STRING "Where its randomness begins; 0: elsewhere each time")
function(berth_fuzzer name)
  if(NOT BERTH_FUZZERS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "SOURCE;SEEDS" "DEPS" ${ARGN})
  add_executable(${name}_fuzzer ${ARG_SOURCE})
  target_link_libraries(${name}_fuzzer PRIVATE berth_options ${ARG_DEPS})
  target_link_options(${name}_fuzzer PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzzers ${name}_fuzzer)
  set(found ${CMAKE_BINARY_DIR}/fuzz/${name})
  file(MAKE_DIRECTORY ${found})
  add_test(NAME fuzz.${name} COMMAND ${name}_fuzzer -max_total_time=${BERTH_FUZZ_SECONDS} -seed=${BERTH_FUZZ_SEED} -timeout=20
           -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=${found}-failed- ${found}
           ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_SEEDS})
  set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 600)
endfunction()
