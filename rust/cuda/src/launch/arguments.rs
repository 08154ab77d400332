//! Structures that both sides of a launch know.

/// Declares a structure as the kernels have it, with the names and places of its fields for the test that compares them.
macro_rules! arguments {
    ($(#[$attribute:meta])* $visible:vis struct $name:ident {
        $($(#[$field_attribute:meta])* $field_visible:vis $field:ident: $type:ty,)*
    }) => {
        $(#[$attribute])*
        #[derive(Clone, ::std::marker::Copy)]
        #[repr(C)]
        $visible struct $name {
            $($(#[$field_attribute])* $field_visible $field: $type,)*
        }

        #[cfg(test)]
        impl $crate::launch::tests::Mirrored for $name {
            const NAME: &str = stringify!($name);
            const FIELDS: &[(&str, usize, usize)] =
                &[$((stringify!($field), ::std::mem::offset_of!($name, $field), ::std::mem::size_of::<$type>()),)*];
        }
    };
}

pub(crate) use arguments;
