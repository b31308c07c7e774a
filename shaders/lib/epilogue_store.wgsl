// epilogue_store: out = acc. at is the quad's place in out, col its quad of columns.
@group(0) @binding(3) var<storage, read_write> out: array<Quad>;

fn epilogue(at: u32, col: u32, acc: vec4<f32>) {
    out[at] = pack4(acc);
}
