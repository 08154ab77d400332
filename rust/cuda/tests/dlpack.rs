//! Tensors given and taken: what they say, and that each is freed once.

#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{bench, words};
use mimi_cuda::dlpack::{Device, Element, Export, Import, Managed, Versioned};
use mimi_cuda::{Error, Gpu};

/// A tensor as another library makes it: words as the header lays them out.
#[repr(C)]
struct Other {
    head: [u64; 4],
    data: u64,
    device: [i32; 2],
    dimensions: i32,
    element: [u8; 4],
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
    tail: [u64; 2],
}

static DELETED: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" fn deleter(_: *mut c_void) {
    DELETED.fetch_add(1, Ordering::SeqCst);
}

const FLOAT32: [u8; 4] = [2, 32, 1, 0];

fn other(data: u64, device: [i32; 2], element: [u8; 4], shape: &[i64], strides: Option<&[i64]>) -> Other {
    let strides = strides.map_or(std::ptr::null(), <[i64]>::as_ptr);
    let (dimensions, shape) = (shape.len() as i32, shape.as_ptr());
    let free = deleter as *const () as u64;
    // Version 1.1, the deleter, and the flag for memory that must not be written.
    let head = [1 | 1 << 32, 0, free, 1];
    Other { head, data, device, dimensions, element, shape, strides, byte_offset: 8, tail: [0, free] }
}

fn versioned(other: &mut Other) -> Result<Import, Error> {
    // SAFETY: laid out as the header says, and alive as long as the import.
    unsafe { Import::versioned(NonNull::from(other).cast::<Versioned>()) }
}

fn managed(other: &mut Other) -> Result<Import, Error> {
    // SAFETY: the same without its head, followed by a context and the deleter.
    unsafe { Import::managed(NonNull::from(&mut other.data).cast::<Managed>()) }
}

#[test]
fn a_tensor_is_taken_and_given_back() {
    let (_alone, _, gpu) = bench();
    let buffer = gpu.buffer(64).unwrap();
    gpu.fill(buffer.span(), 5).unwrap();
    let data = buffer.span().address();
    for take in [versioned, managed] {
        let mut other = other(data, [2, 0], FLOAT32, &[2, 3], None);
        let before = DELETED.load(Ordering::SeqCst);
        let import = take(&mut other).unwrap();
        assert_eq!((import.device(), import.element()), (Device { kind: 2, ordinal: 0 }, Element::FLOAT32));
        assert_eq!((import.shape(), import.strides()), (&[2, 3][..], &[3, 1][..]));
        assert!(import.is_contiguous());
        let span = import.span(&gpu).unwrap();
        assert_eq!((span.address(), span.bytes()), (data + 8, 24));
        assert_eq!(words(&gpu, span).unwrap(), [5; 6]);
        assert_eq!(import.is_read_only(), std::ptr::fn_addr_eq(take as fn(_) -> _, versioned as fn(_) -> _));
        assert_eq!(DELETED.load(Ordering::SeqCst), before);
        drop(import);
        assert_eq!(DELETED.load(Ordering::SeqCst), before + 1);
    }
}

#[test]
fn strides_say_what_lies_where() {
    let (_alone, _, gpu) = bench();
    let buffer = gpu.buffer(256).unwrap();
    type Case<'a> = (&'a [i64], &'a [i64], bool, usize);
    let cases: [Case; 8] = [
        (&[2, 3], &[3, 1], true, 6),
        (&[2, 3], &[1, 2], false, 6),
        (&[2, 3], &[8, 1], false, 11),
        (&[1, 3], &[77, 1], true, 3),
        (&[4], &[2], false, 7),
        (&[3, 2], &[0, 1], false, 2),
        (&[0, 9], &[9, 1], true, 0),
        (&[], &[], true, 1),
    ];
    for (shape, strides, is_contiguous, elements) in cases {
        let mut other = other(buffer.span().address(), [2, 0], FLOAT32, shape, Some(strides));
        let import = versioned(&mut other).unwrap();
        assert_eq!(import.is_contiguous(), is_contiguous, "{shape:?} {strides:?}");
        assert_eq!(import.span(&gpu).unwrap().bytes(), 4 * elements, "{shape:?} {strides:?}");
    }
}

#[test]
fn tensors_that_cannot_be_used_are_given_back() {
    let (_alone, _, gpu) = bench();
    let before = DELETED.load(Ordering::SeqCst);
    let mut negative = other(0, [2, 0], FLOAT32, &[2, -3], None);
    let mut backwards = other(0, [2, 0], FLOAT32, &[2, 3], Some(&[-3, 1]));
    let mut newer = other(0, [2, 0], FLOAT32, &[2], None);
    newer.head[0] = 2;
    let mut endless = other(0, [2, 0], FLOAT32, &[3, i64::MAX, 3], None);
    for other in [&mut negative, &mut backwards, &mut newer, &mut endless] {
        assert!(matches!(versioned(other), Err(Error::Shape(_))));
    }
    assert_eq!(DELETED.load(Ordering::SeqCst), before + 4);
    for (device, element, expected) in [
        ([1, 0], FLOAT32, "expected a tensor on CUDA device 0, got one on device 0 of DLPack's kind 1"),
        ([2, 1], FLOAT32, "expected a tensor on CUDA device 0, got one on device 1 of DLPack's kind 2"),
        ([2, -1], FLOAT32, "expected a tensor on CUDA device 0, got one on device -1 of DLPack's kind 2"),
        ([2, 0], [2, 4, 1, 0], "expected elements of whole bytes, got 4 bits"),
    ] {
        let mut other = other(0, device, element, &[2], None);
        let import = versioned(&mut other).unwrap();
        assert_eq!(import.span(&gpu).map(|span| span.bytes()), Err(Error::Shape(expected.into())));
    }
    let mut far = other(u64::MAX - 3, [2, 0], FLOAT32, &[2], None);
    assert!(versioned(&mut far).unwrap().span(&gpu).is_err());
}

/// Takes back what was given, as another library would.
fn round_trip(gpu: &Gpu, import: Result<Import, Error>, element: Element, shape: &[usize]) -> Vec<u32> {
    let import = import.unwrap();
    assert_eq!((import.device(), import.element()), (Device { kind: 2, ordinal: 0 }, element));
    assert_eq!(import.shape(), shape);
    assert!(import.is_contiguous() && !import.is_read_only());
    words(gpu, import.span(gpu).unwrap()).unwrap()
}

#[test]
fn what_is_given_lives_until_it_is_freed() {
    let (_alone, driver, gpu) = bench();
    let alive = driver.alive("allocation");
    let buffer = gpu.buffer(48).unwrap();
    gpu.fill(buffer.span(), 7).unwrap();
    let export = Export::new(buffer, Element::FLOAT32, &[1, 4, 3]).unwrap();
    let given = export.into_versioned();
    assert_eq!(driver.alive("allocation"), alive + 1);
    // SAFETY: given just now, and taken once.
    let import = unsafe { Import::versioned(given) };
    assert_eq!(round_trip(&gpu, import, Element::FLOAT32, &[1, 4, 3]), [7; 12]);
    assert_eq!(driver.alive("allocation"), alive);

    let shared = Arc::new(gpu.piece(16).unwrap());
    gpu.fill(shared.span(), 9).unwrap();
    let given = Export::new(Arc::clone(&shared), Element::INT64, &[2]).unwrap().into_managed();
    let address = shared.span().address();
    drop(shared);
    assert_ne!(gpu.piece(16).unwrap().span().address(), address, "it is still taken");
    // SAFETY: as above.
    let import = unsafe { Import::managed(given) };
    assert_eq!(round_trip(&gpu, import, Element::INT64, &[2]), [9; 4]);
    assert_eq!(gpu.piece(16).unwrap().span().address(), address, "it is free again");
}

#[test]
fn what_is_not_given_is_freed() {
    let (_alone, driver, gpu) = bench();
    let alive = driver.alive("allocation");
    drop(Export::new(gpu.buffer(8).unwrap(), Element::FLOAT32, &[2]).unwrap());
    let error = Export::new(gpu.buffer(8).unwrap(), Element::FLOAT32, &[3]).err();
    let expected = "expected memory of [3] elements of 32 bits, got 8 bytes";
    assert_eq!(error, Some(Error::Shape(expected.into())));
    assert!(Export::new(gpu.buffer(8).unwrap(), Element::FLOAT32, &[usize::MAX, 2]).is_err());
    assert_eq!(driver.alive("allocation"), alive);
}

#[test]
fn a_tensor_can_be_freed_by_another_thread() {
    let (_alone, driver, gpu) = bench();
    let alive = driver.alive("allocation");
    let export = Export::new(gpu.buffer(8).unwrap(), Element::FLOAT32, &[2]).unwrap();
    // SAFETY: given just now, and taken once.
    let import = unsafe { Import::managed(export.into_managed()) }.unwrap();
    std::thread::spawn(move || drop(import)).join().unwrap();
    assert_eq!(driver.alive("allocation"), alive);
}
