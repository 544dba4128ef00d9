//! Which folder or object store a configuration means, and what lies in it.
//! - Source: the schemes and option names are those of `object_store`.
//! - Limits: a request to an object store is given up after [`RETRY_SECONDS`]; the sink itself tries again later.
//! - Errors: problems with the configuration name options, never their values.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path as Key;
use object_store::{ObjectStore, RetryConfig};
use percent_encoding::percent_decode_str;

use crate::client::ClientError;
use crate::config::ParquetConfig;

/// How long one request to an object store is repeated before it counts as failed.
const RETRY_SECONDS: u64 = 20;

/// Where files go.
pub(crate) enum Target {
    /// A folder of this machine.
    Folder(PathBuf),
    /// An object store, and the folder in it.
    Store { store: Arc<dyn ObjectStore>, prefix: Key },
}

/// Names in one folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) folders: Vec<String>,
    pub(crate) files: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    S3(String),
    Azure(String),
    Google(String),
}

impl Target {
    pub(crate) fn new(config: &ParquetConfig, directory: &Path) -> Result<Self, String> {
        let (place, prefix) = place(&config.url)?;
        let options = &config.options.0;
        let retry =
            RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(RETRY_SECONDS), ..RetryConfig::default() };
        let store: object_store::Result<Arc<dyn ObjectStore>> = match place {
            None => return Ok(Self::Folder(directory.to_owned())),
            Some(Place::Folder(folder)) => return Ok(Self::Folder(folder)),
            Some(Place::S3(url)) => {
                let builder = AmazonS3Builder::from_env().with_url(url).with_retry(retry);
                known(options.iter())
                    .fold(builder, |builder, (key, value)| builder.with_config(key, value))
                    .build()
                    .map(|store| -> Arc<dyn ObjectStore> { Arc::new(store) })
            }
            Some(Place::Azure(url)) => {
                let builder = MicrosoftAzureBuilder::from_env().with_url(url).with_retry(retry);
                known(options.iter())
                    .fold(builder, |builder, (key, value)| builder.with_config(key, value))
                    .build()
                    .map(|store| -> Arc<dyn ObjectStore> { Arc::new(store) })
            }
            Some(Place::Google(url)) => {
                let builder = GoogleCloudStorageBuilder::from_env().with_url(url).with_retry(retry);
                known(options.iter())
                    .fold(builder, |builder, (key, value)| builder.with_config(key, value))
                    .build()
                    .map(|store| -> Arc<dyn ObjectStore> { Arc::new(store) })
            }
        };
        Ok(Self::Store { store: store.map_err(|error| error.to_string())?, prefix: Key::from(prefix) })
    }

    /// What lies in a folder; one that does not exist is empty.
    pub(crate) async fn list(&self, folder: &str) -> Result<Listing, ClientError> {
        match self {
            Self::Folder(root) => list_folder(&root.join(folder)),
            Self::Store { store, prefix } => {
                let folder = folder.split('/').filter(|part| !part.is_empty());
                let folder = folder.fold(prefix.clone(), |folder, part| folder.join(part));
                let listed = store.list_with_delimiter(Some(&folder)).await;
                let listed = listed.map_err(|source| ClientError::Remote { step: "list", source })?;
                let name = |key: &Key| key.filename().map(str::to_owned);
                Ok(Listing {
                    folders: listed.common_prefixes.iter().filter_map(name).collect(),
                    files: listed.objects.iter().filter_map(|object| name(&object.location)).collect(),
                })
            }
        }
    }
}

/// Problems with `url` and `options`.
pub(crate) fn problems(config: &ParquetConfig) -> Vec<String> {
    let options = config.options.0.keys();
    let unknown: Vec<&String> = match place(&config.url) {
        Err(problem) => return vec![format!("url: {problem}")],
        Ok((None | Some(Place::Folder(_)), _)) => options.collect(),
        Ok((Some(Place::S3(_)), _)) => options.filter(|key| AmazonS3ConfigKey::from_str(key).is_err()).collect(),
        Ok((Some(Place::Azure(_)), _)) => options.filter(|key| AzureConfigKey::from_str(key).is_err()).collect(),
        Ok((Some(Place::Google(_)), _)) => options.filter(|key| GoogleConfigKey::from_str(key).is_err()).collect(),
    };
    let unknown = unknown.into_iter().map(|key| format!("options: `{key}` means nothing to this kind of target"));
    let wrong = config.options.0.iter().filter(|(key, value)| key.contains("endpoint") && !is_endpoint(value));
    unknown.chain(wrong.map(|(key, _)| format!("options: `{key}` has to be http:// or https:// and a host"))).collect()
}

/// The store's client panics at an address that HTTP cannot express.
fn is_endpoint(address: &str) -> bool {
    let host = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&b))
    })
}

fn known<'a, K: FromStr>(
    options: impl Iterator<Item = (&'a String, &'a String)>,
) -> impl Iterator<Item = (K, &'a String)> {
    options.filter_map(|(key, value)| Some((key.parse().ok()?, value)))
}

/// The place that an address names, and the folder in it.
fn place(url: &str) -> Result<(Option<Place>, &str), String> {
    if url.is_empty() {
        return Ok((None, ""));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(format!("`{url}` is not an address such as file:///folder or s3://bucket/folder"));
    };
    if scheme == "file" {
        let folder = percent_decode_str(rest).decode_utf8().map_err(|error| error.to_string())?;
        let folder = PathBuf::from(folder.as_ref());
        let absolute = folder.is_absolute().then_some((Some(Place::Folder(folder)), ""));
        return absolute.ok_or_else(|| "a folder has to be absolute: file:///folder".to_owned());
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(format!("`{scheme}://` is not followed by the name of a bucket or container"));
    }
    let bucket = format!("{scheme}://{bucket}");
    let place = match scheme {
        "s3" | "s3a" => Place::S3(bucket),
        "az" | "azure" | "abfs" | "abfss" => Place::Azure(bucket),
        "gs" => Place::Google(bucket),
        _ => return Err(format!("`{scheme}` is none of file, s3, az and gs")),
    };
    Ok((Some(place), prefix))
}

fn list_folder(folder: &Path) -> Result<Listing, ClientError> {
    let failed = |source| ClientError::Local { step: "read", path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Listing::default()),
        entries => entries.map_err(failed)?,
    };
    let mut listing = Listing::default();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        // A name that is not UTF-8 is nobody's here.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let folder = entry.file_type().map_err(failed)?.is_dir();
        if folder { &mut listing.folders } else { &mut listing.files }.push(name);
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_places() {
        assert_eq!(place(""), Ok((None, "")));
        assert_eq!(place("file:///a%20b/c"), Ok((Some(Place::Folder(PathBuf::from("/a b/c"))), "")));
        assert_eq!(place("s3://b/x/y"), Ok((Some(Place::S3("s3://b".to_owned())), "x/y")));
        assert_eq!(place("gs://b"), Ok((Some(Place::Google("gs://b".to_owned())), "")));
        for bad in ["/folder", "file://relative", "s3://", "s3:///x", "ftp://x/y"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_options_are_named_without_their_values() {
        let with = |url: &str, key: &str| {
            let options = crate::config::Options([(key.to_owned(), "hidden".to_owned())].into());
            problems(&ParquetConfig { url: url.to_owned(), options, ..ParquetConfig::default() })
        };
        assert!(with("s3://b", "region").is_empty());
        assert_eq!(with("s3://b", "endpoint").len(), 1, "no address");
        for (url, key) in [("s3://b", "reigon"), ("", "region"), ("az://b", "x"), ("gs://b", "x")] {
            let problems = with(url, key);
            assert_eq!(problems.len(), 1);
            assert!(problems[0].contains(key) && !problems[0].contains("hidden"), "{problems:?}");
        }
    }
}
