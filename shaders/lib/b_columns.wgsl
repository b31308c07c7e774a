// b_columns: the operand b of a product, transposed: (COLS,SUMS).  SUMS % 4 == 0. Columns past the end read the last:
// they are never stored. Addends past the end read the last: a has zeros there.
//
// The functions are those of b_rows.

// b_at returns where four rows of b begin.
fn b_at(col4: u32) -> vec4<u32> {
    return min(vec4<u32>(col4 * 4u) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.COLS - 1u)) * (p.SUMS / 4u);
}

fn load_b(at: vec4<u32>, q: u32) -> Addends {
    return turned(unpack4(b[at.x + q]), unpack4(b[at.y + q]), unpack4(b[at.z + q]), unpack4(b[at.w + q]));
}

fn block_b(col4: u32, q: u32) -> Addends { return load_b(b_at(col4), min(q, p.SUMS / 4u - 1u)); }

fn b_place(i: u32, cols4: u32, sums4: u32) -> vec2<u32> { return vec2<u32>(i / sums4, i % sums4); }
