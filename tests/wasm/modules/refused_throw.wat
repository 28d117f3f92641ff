;; An instruction of exception handling.
(module (func nop nop (block (try_table))))
