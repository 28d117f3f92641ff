// A guest that does what it is told: the method's first letter says what, the text argument with what.
// In the text an apostrophe stands for a quotation mark. What a call of the host gave is printed.

#include "kernel.h"

static char room[1 << 16];
static char text[1 << 12];
static size length;

EXPORT(alloc) char *alloc(size wanted) { return wanted <= sizeof room ? room : 0; }

__attribute__((noinline)) static int depth(int n) {
  __asm__ volatile("" : "+r"(n));
  int below = n ? depth(n + 2) : 0;
  __asm__ volatile("" : "+r"(below));
  return below + 1;
}

static void show(long long code) {
  char digits[24];
  size at = sizeof digits;
  int is_negative = code < 0;
  if (is_negative) code = -code;
  do digits[--at] = '0' + code % 10;
  while (code /= 10);
  if (is_negative) digits[--at] = '-';
  kernel_print(digits + at, sizeof digits - at);
}

static void show_waiting(long long code) {
  char waiting[256];
  show(code);
  if (code >= 0) kernel_print(waiting, kernel_take(waiting, sizeof waiting));
}

// In the delivery's text the body reads  "#[\"method\",[\"text\"]]"
static char find(const char *delivery, size end) {
  for (size at = 0; at + 4 < end; at++) {
    if (delivery[at] != '#' || delivery[at + 1] != '[' || delivery[at + 2] != '\\') continue;
    char letter = delivery[at + 4];
    at += 4;
    while (at < end && delivery[at] != '[') at++;
    at += 3;
    for (length = 0; at < end && delivery[at] != '\\' && length < sizeof text; at++)
      text[length++] = delivery[at] == '\'' ? '"' : delivery[at];
    return letter;
  }
  return 0;
}

EXPORT(deliver) int deliver(const char *delivery, size end) {
  switch (find(delivery, end)) {
    case 's': show(kernel_syscall(text, length)); break;
    case 'b': for (int i = 0; i < 20; i++) show(kernel_syscall(text, length)); break;
    case 'g': show_waiting(kernel_store_get(text, length)); break;
    case 'w': show(kernel_store_set(text, length, text, length)); break;
    case 'd': show(kernel_store_delete(text, length)); break;
    case 'n': show_waiting(kernel_store_next_key(text, length)); break;
    case 'p': show(kernel_print(text, length)); break;
    case 'e': kernel_print(delivery, end); break;
    case 'x': show(kernel_syscall((const char *)0xfffffff0, 32)); show(kernel_take((char *)0xfffffff0, 0)); break;
    case 'y': show(kernel_syscall("\xff\xfe", 2)); break;
    case 'f': kernel_fail(text, length); return 7;
    case 'q': return 7;
    case 'l': for (;;) __asm__ volatile(""); break;
    case 'k': for (;;) kernel_store_get("a", 1); break;
    case 'r': show(depth(1)); break;
    case 'u': __builtin_trap();
    case 'm': show((int)__builtin_wasm_memory_grow(0, 1 << 14)); break;
    case 'M': show((int)__builtin_wasm_memory_grow(0, length)); break;
    default: break;
  }
  return 0;
}
