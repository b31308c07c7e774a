// a_rows: the operand a (ROWS,SUMS) of a product, in rows of ASTRIDE from column ACOL on. Where SUMS % 4 > 0, the
// columns up to the next multiple of 4 are zero. Rows past the end read the last: they are never stored.
//
// a_place returns the quad of rows and the quad of addends that the i-th of neighbouring threads loads, so that they read
// neighbours; a_at where four rows from row on begin; load_a their q-th quads of addends, a column for each addend.
fn a_place(i: u32, rows4: u32, sums4: u32) -> vec2<u32> { return vec2<u32>(i / sums4, i % sums4); }

fn a_at(row: u32) -> vec4<u32> {
    let rows = min(vec4<u32>(row) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.ROWS - 1u));
    return (rows * p.ASTRIDE + p.ACOL) / 4u;
}

fn load_a(at: vec4<u32>, q: u32) -> mat4x4<f32> {
    let rows = mat4x4<f32>(unpack4(a[at.x + q]), unpack4(a[at.y + q]), unpack4(a[at.z + q]), unpack4(a[at.w + q]));
    return transpose(rows);
}
