// epilogue_bias_gelu: pre = acc + bias, out = gelu(pre); the backward needs pre.
//
// uses: gelu
@group(0) @binding(3) var<storage, read_write> out: array<Quad>;
@group(0) @binding(4) var<storage, read_write> pre: array<Quad>;
@group(0) @binding(5) var<storage, read> bias: array<vec4<f32>>; // (OC)

fn epilogue(at: u32, col: u32, acc: vec4<f32>) {
    let v = acc + bias[col];
    pre[at] = pack4(v);
    out[at] = pack4(gelu(v));
}
