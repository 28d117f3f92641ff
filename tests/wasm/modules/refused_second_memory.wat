;; An access to a second memory.
(module (memory $a 1) (memory $b 1) (func (drop (i32.load $b (i32.const 0)))))
