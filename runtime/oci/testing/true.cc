// SPDX-License-Identifier: Apache-2.0
// The probe's program for this folder's tests: as `berth-monitor true`, ends with 0. With another word it
// ends with 3.
#include <cstring>

int main(int argc, char** argv) { return argc > 1 && std::strcmp(argv[1], "true") == 0 ? 0 : 3; }
