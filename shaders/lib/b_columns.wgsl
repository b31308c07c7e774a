// b_columns: the operand b of a product, transposed: (COLS,SUMS).  SUMS % 4 == 0. Columns past the end read the last:
// they are never stored. Addends past the end read the last: a has zeros there.
//
// The functions are those of b_rows.
fn b_place(i: u32, cols4: u32, sums4: u32) -> vec2<u32> { return vec2<u32>(i / sums4, i % sums4); }

fn b_at(col4: u32) -> vec4<u32> {
    let cols = min(vec4<u32>(col4 * 4u) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.COLS - 1u));
    return cols * (p.SUMS / 4u);
}

fn load_b(at: vec4<u32>, q: u32) -> mat4x4<f32> {
    let k = min(q, p.SUMS / 4u - 1u);
    let cols = mat4x4<f32>(unpack4(b[at.x + k]), unpack4(b[at.y + k]), unpack4(b[at.z + k]), unpack4(b[at.w + k]));
    return transpose(cols);
}
