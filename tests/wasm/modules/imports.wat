;; Imports a function that hosts know, and one that they do not.
(module
  (import "kernel" "syscall" (func $syscall (param i32 i32) (result i64)))
  (import "env" "abort" (func $abort))
  (memory (export "memory") 1)
  (func (export "say") (param i32) (result i64) (call $syscall (i32.const 0) (local.get 0)))
  (func (export "give_up") (call $abort)))
