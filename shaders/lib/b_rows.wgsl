// b_rows: the operand b (SUMS,COLS) of a product.  COLS % 4 == 0. Columns past the end read the last: they are never
// stored. Addends past the end read the last: a has zeros there.
//
// b_place returns the quad of columns and the quad of addends that the i-th of neighbouring threads loads, so that they
// read neighbours; b_at where the col4-th quad of columns begins; load_b its q-th quad of addends, a column for each.
fn b_place(i: u32, cols4: u32, sums4: u32) -> vec2<u32> { return vec2<u32>(i % cols4, i / cols4); }

fn b_at(col4: u32) -> vec4<u32> { return vec4<u32>(min(col4, p.COLS / 4u - 1u)); }

fn addend_b(at: u32, k: u32) -> vec4<f32> { return unpack4(b[min(k, p.SUMS - 1u) * (p.COLS / 4u) + at]); }

fn load_b(at: vec4<u32>, q: u32) -> mat4x4<f32> {
    let k = q * 4u;
    return mat4x4<f32>(addend_b(at.x, k), addend_b(at.x, k + 1u), addend_b(at.x, k + 2u), addend_b(at.x, k + 3u));
}
