package credential

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func aRecord() Record {
	return Record{
		Present: Version{Number: 3, Digest: DigestOf("c"), Created: noon},
		Request: "today",
		Previous: []Version{
			{Number: 2, Digest: DigestOf("b"), Created: noon.Add(-time.Hour), Replaced: noon, Expires: noon.Add(time.Hour)},
			{Number: 1, Digest: DigestOf("a"), Created: noon.Add(-2 * time.Hour), Replaced: noon.Add(-time.Hour), Expires: noon.Add(time.Minute)},
		},
	}
}

func TestRecordGoesThereAndBack(t *testing.T) {
	want := aRecord()
	got, err := ParseRecord(want.String())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %+v", err, got)
	}
	accepted := want.Accepted()
	if len(accepted) != 3 || accepted[0].Expires != 0 || accepted[2].Expires != noon.Add(time.Minute).Unix() || accepted[2].Version != 1 {
		t.Errorf("it accepts %+v", accepted)
	}
}

// A client secret that somebody else made and took away ends as one from before.
func TestRecordOfOneTakenAway(t *testing.T) {
	record := Record{Present: Version{Number: 1, Digest: DigestOf("a"), Created: noon, Replaced: noon, Expires: noon.Add(time.Hour)}}
	read, err := ParseRecord(record.String())
	if err != nil {
		t.Fatal(err)
	}
	if Match("a", read.Accepted(), noon.Add(time.Hour-1)) == nil || Match("a", read.Accepted(), noon.Add(time.Hour)) != nil {
		t.Error("it is not valid until its end, or beyond it")
	}
	record.Present.Expires = time.Unix(0, 0)
	if _, err := ParseRecord(record.String()); err == nil {
		t.Error("an end in 1970 stands for none when it is compared, and was taken")
	}
}

// What somebody else wrote into the annotation is not taken for a record, and not quoted.
func TestParseRecordRefuses(t *testing.T) {
	good := aRecord().String()
	many := aRecord()
	many.Previous = append(many.Previous, many.Previous...)
	many.Previous = append(many.Previous, many.Previous[0])
	for name, stored := range map[string]string{
		"empty":                              "",
		"not JSON":                           "kubemint_secret",
		"another thing":                      "{}",
		"a digest too short":                 strings.Replace(good, `"sha256":"`, `"sha256":"AA`, 1),
		"a digest in another alphabet":       strings.Replace(good, `"sha256":"`, `"sha256":"+`, 1),
		"one from before that never ends":    strings.Replace(good, `,"expires":"2030-06-01T12:01:00Z"`, "", 1),
		"one from before that comes after":   strings.Replace(good, `"version":2`, `"version":3`, 1),
		"one from before that ended in 1970": strings.Replace(good, "2030-06-01T12:01:00Z", "1970-01-01T00:00:00Z", 1),
		"no number":                          strings.Replace(good, `"version":3`, `"version":0`, 1),
		"more from before than can be there": many.String(),
	} {
		if _, err := ParseRecord(stored); err == nil || stored != "" && strings.Contains(err.Error(), stored) || stored == good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(aRecord().String())
	f.Add(`{"present":{"version":1,"sha256":"","created":""}}`)
	f.Fuzz(func(t *testing.T, stored string) {
		record, err := ParseRecord(stored)
		if err != nil {
			return
		}
		if again, err := ParseRecord(record.String()); err != nil || again.String() != record.String() {
			t.Fatalf("%q becomes %q: %v", stored, record, err)
		}
		for _, accepted := range record.Accepted()[1:] {
			if accepted.Expires == 0 {
				t.Fatalf("%q holds one from before that never ends", stored)
			}
		}
	})
}
