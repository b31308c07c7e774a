// b_rows: the operand b (SUMS,COLS) of a product.  COLS % 4 == 0. Columns past the end read the last: they are never
// stored. Addends past the end read the last: a has zeros there.
//
// A thread walks quads of columns in registers: b_at returns where one begins, computed once, and load_b its q-th quads
// of addends, a column for each addend. For matmul_panels, block_b returns the same of any quads, and b_place which
// cols4-th and which q-th quad the i-th of neighbouring threads takes, so that they read neighbours.

// b_at returns the quad of columns, the quads of a row, and the last row.
fn b_at(col4: u32) -> vec4<u32> {
    let quads = p.COLS / 4u;
    return vec4<u32>(min(col4, quads - 1u), quads, p.SUMS - 1u, 0u);
}

fn addend_b(at: vec4<u32>, k: u32) -> vec4<f32> { return unpack4(b[min(k, at.z) * at.y + at.x]); }

fn load_b(at: vec4<u32>, q: u32) -> Addends {
    let k = q * 4u;
    return Addends(unpack4(b[k * at.y + at.x]), addend_b(at, k + 1u), addend_b(at, k + 2u), addend_b(at, k + 3u));
}

fn block_b(col4: u32, q: u32) -> Addends {
    let at = b_at(col4);
    let k = q * 4u;
    return Addends(addend_b(at, k), addend_b(at, k + 1u), addend_b(at, k + 2u), addend_b(at, k + 3u));
}

fn b_place(i: u32, cols4: u32, sums4: u32) -> vec2<u32> { return vec2<u32>(i % cols4, i / cols4); }
