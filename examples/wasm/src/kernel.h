// What a wasm vat in C sees of its kernel; docs/wasm-vats.md explains. Freestanding: no libc.

#ifndef KERNEL_H
#define KERNEL_H

typedef unsigned int size;

#define IMPORT(name) __attribute__((import_module("kernel"), import_name(#name))) extern
#define EXPORT(name) __attribute__((export_name(#name)))

enum { ABSENT = -1, MALFORMED = -2, TOO_MUCH = -3, OUT_OF_BOUNDS = -4, FAILED = -5 };

// Each gives a size, 0, or one of the codes above.
IMPORT(syscall) long long kernel_syscall(const char *text, size length);
IMPORT(store_get) long long kernel_store_get(const char *key, size length);
IMPORT(store_set) long long kernel_store_set(const char *key, size key_length, const char *value, size length);
IMPORT(store_delete) long long kernel_store_delete(const char *key, size length);
IMPORT(store_next_key) long long kernel_store_next_key(const char *prior, size length);
IMPORT(take) long long kernel_take(char *to, size length);
IMPORT(print) long long kernel_print(const char *text, size length);
IMPORT(fail) long long kernel_fail(const char *text, size length);

#endif
