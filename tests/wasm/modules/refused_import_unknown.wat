;; An unknown import.
(module (import "kernel" "clock" (func (result i64))))
