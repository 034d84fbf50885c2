//! The macro that makes a table of settings into all that is needed of them.

/// Each setting is said once, below its heading and the table of the file that it stands in (`top` for none):
///
/// ```text
/// "Encryption" [tls] {
///     gateway tls_cert: Option<Cert> = "off", "FILE|off", or("off", value::cert), bare Lists, needs Admin,
///         "A sentence for the help.";
/// }
/// ```
///
/// That is: where it may stand (`gateway` or `route`), name, type, default (or `none`), form and the function that reads a
/// text. `bare` and `needs` may be left out. Names in a table begin with that of the table.
///
/// It makes `ALL`, a function of `Setting` for each, and `GatewaySettings` and `RouteSettings` with a field for each.
macro_rules! settings {
    ($($heading:literal $table:tt { $(
        $scope:ident $name:ident: $type:ty = $default:tt, $form:literal, $parse:expr
            $(, bare $bare:ident)? $(, needs $needs:ident)?, $about:literal;
    )* })*) => {
        pub(crate) static ALL: $crate::config::setting::Settings = $crate::config::setting::Settings {
            all: &[$($($crate::config::setting::Setting::$name(),)*)*],
        };

        impl $crate::config::setting::Setting {
            $($(
                #[doc = $about]
                pub(crate) const fn $name() -> Self {
                    Self {
                        name: stringify!($name),
                        table: settings!(@table $table),
                        heading: $heading,
                        form: $form,
                        default: settings!(@default $default),
                        about: $about,
                        scope: settings!(@scope $scope),
                        bare: settings!(@bare $($bare)?),
                        check: |text| ($parse)(text).map(drop),
                        needs: settings!(@needs $($needs)?),
                    }
                }
            )*)*
        }

        settings! { @sort [] [] $($($scope $name: $type = $parse, $about;)*)* }
    };

    // Sorts the fields by scope, one at a time: a field of a struct cannot be made by a macro of its own.
    (@sort [$($gateway:tt)*] $routes:tt
        gateway $name:ident: $type:ty = $parse:expr, $about:literal; $($rest:tt)*) => {
        settings! { @sort [$($gateway)* $name: $type = $parse, $about;] $routes $($rest)* }
    };
    (@sort $gateway:tt [$($route:tt)*]
        route $name:ident: $type:ty = $parse:expr, $about:literal; $($rest:tt)*) => {
        settings! { @sort $gateway [$($route)* $name: $type = $parse, $about;] $($rest)* }
    };
    (@sort [$($gateway:tt)*] [$($route:tt)*]) => {
        settings! { @fields "What holds for the whole gateway.", GatewaySettings, $($gateway)* }
        settings! { @fields "What holds for a route.", RouteSettings, $($route)* }
    };

    (@fields $doc:literal, $fields:ident, $($name:ident: $type:ty = $parse:expr, $about:literal;)*) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct $fields {
            $(#[doc = $about] pub(crate) $name: $type,)*
        }

        impl $fields {
            /// # Errors
            ///
            /// When a value is bad, or one without a default is not given.
            pub(in crate::config) fn resolve(
                layers: $crate::config::given::Layers<'_>,
            ) -> Result<Self, $crate::config::Error> {
                Ok(Self {
                    $($name: layers.get(&$crate::config::setting::Setting::$name(), $parse)?,)*
                })
            }
        }
    };

    (@table top) => { None };
    (@table [$table:ident]) => { Some(stringify!($table)) };
    (@default none) => { None };
    (@default $default:literal) => { Some($default) };
    (@scope gateway) => { $crate::config::setting::Scope::Gateway };
    (@scope route) => { $crate::config::setting::Scope::Route };
    (@bare) => { $crate::config::setting::Bare::Nothing };
    (@bare $bare:ident) => { $crate::config::setting::Bare::$bare };
    (@needs) => { None };
    (@needs $needs:ident) => { Some($crate::config::setting::Needs::$needs) };
}

pub(super) use settings;
