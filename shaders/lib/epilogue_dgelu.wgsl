// epilogue_dgelu: out = acc * gelu'(pre), the gradient before the activation.
//
// uses: gelu
@group(0) @binding(3) var<storage, read_write> out: array<Quad>;
@group(0) @binding(4) var<storage, read> pre: array<Quad>;

fn epilogue(at: u32, col: u32, acc: vec4<f32>) {
    out[at] = pack4(acc * gelu_grad(unpack4(pre[at])));
}
