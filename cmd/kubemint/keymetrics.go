package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubemint/kubemint/controllers/rotation"
	"github.com/kubemint/kubemint/tokenserver/signing"
)

// signingKeys tells of the signing keys, from the registry at each scrape, so that no key that is gone is left behind. There are as many
// as rotations in the last day, beside the one that signs and the one that is to.
type signingKeys struct {
	seen
	policy rotation.RingPolicy
}

var (
	keyInfoDesc = prometheus.NewDesc("kubemint_signing_key_info",
		"The signing keys that are published, each as 1, by state: prepared, active or retired.", []string{"kid", "algorithm", "state"}, nil)
	keyCreatedDesc = prometheus.NewDesc("kubemint_signing_key_created_timestamp_seconds",
		"When a signing key was made and published.", []string{"kid"}, nil)
	keyActivatedDesc = prometheus.NewDesc("kubemint_signing_key_activated_timestamp_seconds",
		"When a signing key began to sign.", []string{"kid"}, nil)
	keyNextDesc = prometheus.NewDesc("kubemint_signing_key_next_rotation_timestamp_seconds",
		"When another key is to sign; 0 where keys rotate on request only.", nil, nil)
	keysValidDesc = prometheus.NewDesc("kubemint_signing_keys_valid",
		"Whether the signing keys in the Secret are in use: 0 where they cannot be read, and the last good ones are used.", nil, nil)
)

// Describe implements prometheus.Collector.
func (signingKeys) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{keyInfoDesc, keyCreatedDesc, keyActivatedDesc, keyNextDesc, keysValidDesc} {
		descriptions <- description
	}
}

// Collect implements prometheus.Collector.
func (k signingKeys) Collect(values chan<- prometheus.Metric) {
	gauge := func(description *prometheus.Desc, value float64, labels ...string) {
		values <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
	}
	valid := 0.0
	if k.RingValid() {
		valid = 1
	}
	gauge(keysValidDesc, valid)
	ring := k.Ring()
	if ring == nil {
		return
	}
	gauge(keyNextDesc, unixSeconds(rotation.NextSigningKey(ring, k.policy)))
	for i := range ring.Keys {
		key := &ring.Keys[i]
		gauge(keyInfoDesc, 1, key.ID, string(key.Algorithm), string(key.State))
		gauge(keyCreatedDesc, unixSeconds(key.Created), key.ID)
		if key.State != signing.Prepared {
			gauge(keyActivatedDesc, unixSeconds(key.Activated), key.ID)
		}
	}
}

// servingCertificate tells when the certificate that the token endpoint serves expires: nothing where it serves none, or has none yet.
type servingCertificate struct{ get getCertificate }

var certificateExpiryDesc = prometheus.NewDesc("kubemint_serving_certificate_expiry_timestamp_seconds",
	"When the certificate that the token endpoint serves expires.", nil, nil)

// Describe implements prometheus.Collector.
func (servingCertificate) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- certificateExpiryDesc
}

// Collect implements prometheus.Collector.
func (c servingCertificate) Collect(values chan<- prometheus.Metric) {
	if c.get == nil {
		return
	}
	certificate, err := c.get(nil)
	if err != nil || certificate == nil || certificate.Leaf == nil {
		return
	}
	values <- prometheus.MustNewConstMetric(certificateExpiryDesc, prometheus.GaugeValue, unixSeconds(certificate.Leaf.NotAfter))
}
