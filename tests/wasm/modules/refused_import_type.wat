;; A known import of another type.
(module (import "kernel" "syscall" (func (param i32) (result i64))))
