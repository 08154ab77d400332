//! What a product refuses, before anything is launched.

use super::case::{Case, Data, Normed, conv};
use crate::launch::tests::Memory;
use crate::{Edge, Error, FAULTS, Product, Window};

/// Changes a product that is fine, and gives what it is refused for.
fn refusal(case: &Case, change: impl FnOnce(Product<'_>) -> Product<'_>) -> String {
    let mut message = String::new();
    case.with_product(&Data::new(case), |product, _, _| {
        product.check().unwrap();
        let Err(Error::Shape(text)) = change(*product).check() else { panic!("expected a refusal") };
        message = text;
    });
    message
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let case = Case { residual: true, ..Case::new(2, 6, conv(4, 3, 2, 1, Edge::Zero), 8) };
    let shorter = |span: crate::Span<'static>| span.part(4..span.bytes()).unwrap();
    // A memory that lives to the end of the process, for spans of another length.
    let other: &'static Memory = Box::leak(Box::new(Memory::new(2 * 3 * 8 * 4)));
    let refused = [
        refusal(&case, |product| Product { steps: 5, ..product }),
        refusal(&case, |product| Product { outputs: 2, ..product }),
        refusal(&case, |product| Product { rows: 3, ..product }),
        refusal(&case, |product| Product { input: other.span().part(0..8).unwrap(), ..product }),
        refusal(&case, |product| Product { output: shorter(other.span()), ..product }),
        refusal(&case, |product| Product { residual: Some(shorter(other.span())), ..product }),
        refusal(&case, |product| Product { sessions: Some(other.span()), ..product }),
        refusal(&case, |product| Product { faults: other.span().part(0..4 * FAULTS - 4).unwrap(), ..product }),
        refusal(&case, |product| Product { window: Window { taps: 2, ..product.window }, ..product }),
        refusal(&case, |product| Product { window: Window { stride: 0, ..product.window }, ..product }),
        refusal(&case, |product| Product { window: Window { dilation: 4, ..product.window }, ..product }),
    ];
    assert!(refused.iter().all(|text| text.starts_with("expected ") && text.contains(", got ")), "{refused:#?}");
}

#[test]
fn an_output_in_the_input_is_refused() {
    let case = Case { residual: true, ..Case::new(2, 3, Window::dense(8), 8) };
    assert!(refusal(&case, |product| Product { output: product.input, ..product }).contains("input and output"));
    // The residual may be where the output goes.
    case.with_product(&Data::new(&case), |product, _, _| {
        Product { residual: Some(product.output), ..*product }.check().unwrap();
    });
}

#[test]
fn a_norm_before_a_convolution_is_refused() {
    let dense = Case { norm: Normed::Layer, ..Case::new(1, 2, Window::dense(8), 4) };
    let window = Window { history: 1, ..Window::dense(8) };
    assert!(refusal(&dense, |product| Product { window, ..product }).contains("norm"));
}
