// copy_bf16: the copy that products read, in bf16.
//
// uses: store_bf16
@group(0) @binding(7) var<storage, read_write> packed: array<Quad>;

fn copy(i: u32, v: vec4<f32>) {
    packed[i] = pack4(v);
}
