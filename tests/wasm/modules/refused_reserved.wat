;; An export with a reserved name.
(module (func (export "kernel:gas")))
