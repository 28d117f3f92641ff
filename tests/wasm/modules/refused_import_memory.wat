;; An imported memory.
(module (import "kernel" "memory" (memory 1)))
