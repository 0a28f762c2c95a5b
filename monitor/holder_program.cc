// SPDX-License-Identifier: Apache-2.0
// The PID holder: process 1 of a pod's shared PID namespace. Built without any library, so that it costs the
// node a few KiB: no heap, no stack to speak of, one page of code. Its parent started it with SIGCHLD
// ignored, so that the kernel itself reaps what it inherits (sigaction(2), SA_NOCLDWAIT), and as an init it
// gets no signal from inside that it does not handle, and it handles none.
namespace {

inline long PauseForEver() {
  for (;;) {
#if defined(__x86_64__)
    long result = 34;  // pause
    asm volatile("syscall" : "+a"(result) : : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long number asm("x8") = 73;  // ppoll(NULL, 0, NULL, NULL, 0)
    register long a asm("x0") = 0;
    register long b asm("x1") = 0;
    register long c asm("x2") = 0;
    register long d asm("x3") = 0;
    register long e asm("x4") = 0;
    asm volatile("svc 0" : "+r"(a) : "r"(number), "r"(b), "r"(c), "r"(d), "r"(e) : "memory");
#else
#error "say here how to wait without a C library"
#endif
  }
}

}  // namespace

extern "C" [[noreturn]] void _start() {
  PauseForEver();
  __builtin_unreachable();
}
